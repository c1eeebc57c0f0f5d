// Results in flight, of steps that a device still computes, taken in the order of the steps: the host prepares and
// starts the next steps meanwhile, so the device never waits for it. On a device that is the host itself every result
// is there at once, and only the order matters.

/** Steps that may be started before the oldest one's result is taken. */
const AHEAD = 2;

export class ResultsInFlight<T> {
  readonly #take: (result: T) => void;
  readonly #results: Promise<T>[] = [];

  constructor(take: (result: T) => void) {
    this.#take = take;
  }

  /** Adds a step that was started; takes the oldest result if there are more than a few. */
  async add(result: Promise<T>): Promise<void> {
    // Whoever takes the result meets its error; until then it is no unhandled one.
    result.catch(() => {});
    this.#results.push(result);
    if (this.#results.length > AHEAD) await this.#takeOldest();
  }

  /** Takes all results. */
  async settle(): Promise<void> {
    while (this.#results.length > 0) await this.#takeOldest();
  }

  async #takeOldest(): Promise<void> {
    this.#take(await this.#results.shift()!);
  }
}
