// The process of a replica: it opens its device, meets rank 0's flow, and does what the sessions there say until the
// connection closes. It reads no data and writes no file. Signals reach every process of a group, but only rank 0
// decides what they mean; where the process that started this one is gone, it ends even if its device hangs.

import { hostname } from 'node:os';
import { Worker } from 'node:worker_threads';
import { serveReplica } from '../../engine/replicas/serve.ts';
import { oneLine } from '../../tensor/errors.ts';
import { type GivenOrder, ORDER_VARIABLE } from './children.ts';
import { program } from './hello.ts';
import { takeLink } from './link.ts';
import { factsOf, openLocal } from './local.ts';
import { join } from './rendezvous.ts';

/**
 * A call into a driver may block this thread for ever, with the closed connection unread: a thread of its own sees
 * that the parent has changed, and gives the process a while to end by itself.
 */
const WATCH = `
  const { workerData: parent } = require('node:worker_threads');
  setInterval(() => {
    if (process.ppid !== parent) setTimeout(() => process.kill(process.pid, 'SIGKILL'), 5000);
  }, 500);
`;

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {});
const { device, host, port, token, seconds, parent, ...place } = JSON.parse(process.env[ORDER_VARIABLE]!) as GivenOrder;
new Worker(WATCH, { eval: true, env: {}, execArgv: [], workerData: parent }).unref();

try {
  const own = {
    ...program,
    ...place,
    host: hostname(),
    pid: process.pid,
    device: factsOf(await openLocal(device)),
    ...(device.precision === undefined ? {} : { precision: device.precision }),
  };
  const { socket, welcome } = await join({ own, host, port, token, seconds });
  const linked = await takeLink(welcome, device, { own, host, seconds });
  try {
    await serveReplica(socket, linked.backend);
  } catch (error) {
    // On this device a reduction may wait for others, who are gone.
    await linked.lose(error as Error);
    throw error;
  }
  await linked.close();
  process.exit(0);
} catch (error) {
  process.stderr.write(`${oneLine((error as Error).message)}\n`);
  process.exit(1);
}
