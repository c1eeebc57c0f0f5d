// The steps of values in fixed point. Tensors that are added, concatenated or pooled together share one, a power of
// two, the finest with which all that is proved about them fits into their bits.
// Invariant: a step is asked for only after all groups were joined.

import { invariant } from '../tensor/errors.ts';

/** What must fit: |value| ≤ most in so many bits, with `slack` steps for what was rounded on the way. */
interface Need {
  readonly most: number;
  readonly bits: number;
  readonly slack: number;
}

/** Steps that a rounding may be off, all of a group together: half a step each time. */
const SLACK = 64;

/** Tensors of one step. */
export class ScaleGroup {
  #parent: ScaleGroup | undefined;
  #needs: Need[] = [];
  #scale: number | undefined;

  /** `times`: values that are summed up before they must fit. */
  need(most: number, bits: number, times = 1): void {
    const root = this.#root();
    invariant(root.#scale === undefined, 'a step was asked for too early');
    root.#needs.push({ most: most * times, bits, slack: SLACK * times });
  }

  join(other: ScaleGroup): void {
    const [a, b] = [this.#root(), other.#root()];
    if (a === b) return;
    invariant(a.#scale === undefined && b.#scale === undefined, 'a step was asked for too early');
    a.#needs.push(...b.#needs);
    b.#parent = a;
  }

  get scale(): number {
    const root = this.#root();
    root.#scale ??= finest(root.#needs);
    return root.#scale;
  }

  #root(): ScaleGroup {
    return this.#parent ? this.#parent.#root() : this;
  }
}

function finest(needs: readonly Need[]): number {
  const exponents = needs.map(({ most, bits, slack }) => {
    const room = 2 ** (bits - 1) - 1 - Math.min(slack, 2 ** (bits - 3));
    return most === 0 ? Number.NEGATIVE_INFINITY : Math.ceil(Math.log2(most / room));
  });
  const largest = Math.max(...exponents);
  return Number.isFinite(largest) ? 2 ** largest : 1;
}
