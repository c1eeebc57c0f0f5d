// Ctrl-C, politely: the first signal asks the work to save and stop between two steps, the second ends the process at
// once. A terminal that is closed (SIGHUP) asks as well.

const codes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
type SignalName = keyof typeof codes;

export interface InterruptOptions {
  /** Only Ctrl-C that is pressed again ends the process at once, and no other signal however often it comes. */
  readonly isPatient?: boolean;
  /** Said once, at the first signal. */
  readonly onFirst: () => void;
  /** Leaves the terminal as it was, before the process ends at the second signal. */
  readonly onSecond: () => void;
}

export interface Interrupt {
  readonly signal: AbortSignal;
  /** Exit code that belongs to the signal; undefined while none came. */
  readonly code: () => number | undefined;
  dispose(): void;
}

export function interruptible({ onFirst, onSecond, isPatient = false }: InterruptOptions): Interrupt {
  const controller = new AbortController();
  let code: number | undefined;
  const handlers = (Object.keys(codes) as SignalName[]).map((name) => {
    const handler = () => {
      if (code !== undefined) {
        if (isPatient && name !== 'SIGINT') return;
        onSecond();
        process.exit(codes[name]);
      }
      code = codes[name];
      onFirst();
      controller.abort();
    };
    process.on(name, handler);
    return { name, handler };
  });
  return {
    signal: controller.signal,
    code: () => code,
    dispose() {
      for (const { name, handler } of handlers) process.off(name, handler);
    },
  };
}
