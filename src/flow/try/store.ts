// Finished measurements, each in a file of its own that is named after everything it depends on: the multiplier's
// products, the run's checkpoints and data, the settings, the device and the program's version. What is there was
// measured under just these; a try that was killed goes on behind the last of them. Invariant: a file that is not what
// its name says is not used.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../../tensor/errors.ts';
import { makeFolder, readJson, sha256, writeJsonInside } from '../../tensor/files.ts';
import type { Measured } from './treatments.ts';
import type { Untrained } from './trial.ts';

const measured: z.ZodType<Measured> = z.strictObject({ accuracy: z.number(), loss: z.number() });

const schemas: { readonly [K in keyof Results]: z.ZodType<Results[K]> } = {
  untrained: z.strictObject({
    plain: measured,
    folded: measured,
    reestimated: measured,
    unfolded: z.array(z.string()),
  }),
  recovered: measured,
};

/** What is kept, by its kind. */
interface Results {
  readonly untrained: Untrained;
  readonly recovered: Measured;
}
type Kind = keyof Results;

/** JSON values that decide a measurement. */
export type Facts = Readonly<Record<string, unknown>>;

const RESULTS = 'results';

export class ResultStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    makeFolder(join(folder, RESULTS));
  }

  /** The measurement under these facts; undefined when there is none that can be used. */
  find<K extends Kind>(kind: K, facts: Facts): Results[K] | undefined {
    const path = join(this.#folder, pathOf(kind, facts));
    if (!existsSync(path)) return undefined;
    const stored = envelope.safeParse(readOrNothing(path));
    if (!stored.success || keyOf(stored.data.kind, stored.data.facts) !== keyOf(kind, facts)) return undefined;
    const result = schemas[kind].safeParse(stored.data.result);
    return result.success ? result.data : undefined;
  }

  keep<K extends Kind>(kind: K, facts: Facts, result: Results[K]): void {
    writeJsonInside(this.#folder, pathOf(kind, facts), { kind, facts, result: schemas[kind].parse(result) });
  }
}

const envelope = z.strictObject({ kind: z.string(), facts: z.record(z.string(), z.unknown()), result: z.unknown() });

const keyOf = (kind: string, facts: Facts): string => sha256(JSON.stringify([kind, facts]));
const pathOf = (kind: string, facts: Facts): string => `${RESULTS}/${keyOf(kind, facts).slice(0, 32)}.json`;

function readOrNothing(path: string): unknown {
  try {
    return readJson(path);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
