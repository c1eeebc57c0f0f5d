// Ctrl-C, politely: the first signal asks the work to save and stop between two steps; Ctrl-C after that ends the
// process at once. A terminal that is closed (SIGHUP) and a scheduler (SIGTERM) ask as well, but asked again they end
// nothing: srun and scancel each tell every process of a job, so that one wish comes twice, and saving takes a while.

const codes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
type SignalName = keyof typeof codes;

export interface InterruptOptions {
  /** Said once, at the first signal. */
  readonly onFirst: () => void;
  /** Leaves the terminal as it was, before the process ends at Ctrl-C after the first signal. */
  readonly onSecond: () => void;
}

export interface Interrupt {
  readonly signal: AbortSignal;
  /** Exit code that belongs to the signal; undefined while none came. */
  readonly code: () => number | undefined;
  dispose(): void;
}

export function interruptible({ onFirst, onSecond }: InterruptOptions): Interrupt {
  const controller = new AbortController();
  let code: number | undefined;
  const dispose = onSignals((name, itsCode) => {
    if (code !== undefined) {
      if (name !== 'SIGINT') return;
      onSecond();
      process.exit(itsCode);
    }
    code = itsCode;
    onFirst();
    controller.abort();
  });
  return { signal: controller.signal, code: () => code, dispose };
}

/** Tells of each signal that asks the process to end, with its exit code, until it is disposed of. */
export function onSignals(told: (name: SignalName, code: number) => void): () => void {
  const handlers = (Object.keys(codes) as SignalName[]).map((name) => {
    const handler = () => told(name, codes[name]);
    process.on(name, handler);
    return { name, handler };
  });
  return () => {
    for (const { name, handler } of handlers) process.off(name, handler);
  };
}
