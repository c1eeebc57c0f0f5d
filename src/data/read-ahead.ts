// Reads what is asked for in its order, and a few requests ahead of whoever takes the results, so that a device need
// not wait for a disk.
// Invariant: nothing is being read any more when the iteration has ended, however it ends: by its last result, an
// error, or an early return.

/** Requests that are being read while the result of the one before is used. */
const AHEAD = 1;

export async function* readAhead<Request, Result>(
  requests: Iterable<Request>,
  read: (request: Request, signal: AbortSignal) => Promise<Result>,
  { ahead = AHEAD, signal }: { readonly ahead?: number; readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<{ readonly request: Request; readonly result: Result }, void, undefined> {
  const ended = new AbortController();
  const stop = signal ? AbortSignal.any([signal, ended.signal]) : ended.signal;
  const reading: { readonly request: Request; readonly result: Promise<Result> }[] = [];
  const oldest = async () => {
    const { request, result } = reading.shift()!;
    return { request, result: await result };
  };
  try {
    for (const request of requests) {
      const result = read(request, stop);
      // Whoever takes the result meets its error; until then it is no unhandled one.
      result.catch(() => {});
      reading.push({ request, result });
      if (reading.length > ahead) yield await oldest();
    }
    while (reading.length > 0) yield await oldest();
  } finally {
    ended.abort();
    await Promise.allSettled(reading.map(({ result }) => result));
  }
}
