// A port for a server that is started later, or again. It lies below those that the system gives to connections and to
// servers that ask for any (on Linux from 32 768 on): no process beside this one is given it meanwhile.

import { createServer } from 'node:net';

const [FIRST, COUNT] = [10_000, 20_000];

/** Processes begin at other places. */
let next = (process.pid * 7919) % COUNT;

export async function freePort(): Promise<number> {
  for (let tried = 0; tried < COUNT; tried++) {
    next = (next + 1) % COUNT;
    const port = FIRST + next;
    const isFree = await new Promise<boolean>((done) => {
      const server = createServer()
        .once('error', () => done(false))
        .listen(port, '127.0.0.1', () => server.close(() => done(true)));
    });
    if (isFree) return port;
  }
  throw new Error(`no port from ${FIRST} to ${FIRST + COUNT - 1} is free`);
}
