// The end of a process whose device hangs: a call into the driver cannot be broken off, a thread in one cannot be
// ended, and a process waits for its threads. The system's alarm ends it all the same. Source: alarm(2).

import { createRequire } from 'node:module';

/** Ends this process, by SIGALRM, if it has not ended by itself within so many whole seconds. */
export function endWithin(seconds: number): void {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  koffi.load('libc.so.6').func('unsigned int alarm(unsigned int seconds)')(seconds);
}
