// Replicas of this host as child processes (replica-process.ts). Invariant: a replica ends with whoever started it,
// however that ends: the connection that it serves closes, and where it hangs in a device, it is killed. What it prints
// is kept and shown only where it matters, with its rank in front.

import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { LocalOptions } from './local.ts';

/** The variable that tells a child process whom to serve; the token in it is for nobody else. */
export const ORDER_VARIABLE = 'TRAM_REPLICA';

/** What a replica is to do. */
export interface ReplicaOrder {
  /** Where rank 0's flow listens, and what it wants to hear. */
  readonly host: string;
  readonly port: number;
  readonly token: string;
  readonly seconds: number;
  readonly ranks: number;
  readonly rank: number;
  readonly localRank: number;
  readonly device: LocalOptions;
}

/** The same, with the process that gives it: it may be gone before the replica can ask whose child it is. */
export type GivenOrder = ReplicaOrder & { readonly parent: number };

export interface ReplicaEnd {
  readonly rank: number;
  readonly code: number | null;
  readonly signal: string | null;
  /** The last lines that it printed. */
  readonly said: string;
}

export interface Replica {
  readonly rank: number;
  readonly ended: Promise<ReplicaEnd>;
  /** Waits until it has ended by itself, and ends it where it does not. */
  close(): Promise<void>;
}

const KEPT_CHARACTERS = 2000;
/** How long what a replica said last may take to come behind its end, in milliseconds. */
const LAST_WORDS_MS = 500;
/** Milliseconds that a replica has to give its device back once its connection is closed. */
const GRACE = 5000;

export function startReplica(order: ReplicaOrder): Replica {
  const { rank } = order;
  const file = new URL(`./replica-process${extname(import.meta.url)}`, import.meta.url);
  const child = spawn(process.execPath, [file.pathname], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, [ORDER_VARIABLE]: JSON.stringify({ ...order, parent: process.pid } satisfies GivenOrder) },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-KEPT_CHARACTERS);
    });
  }
  const ended = new Promise<ReplicaEnd>((done) => {
    child.once('error', (error) => done({ rank, code: null, signal: null, said: error.message }));
    child.once('exit', (code, signal) => {
      const tell = () => done({ rank, code, signal, said });
      // When all that it said is here; but whoever it has started may keep its pipes open for as long as it likes.
      const clock = setTimeout(tell, LAST_WORDS_MS);
      child.once('close', () => {
        clearTimeout(clock);
        tell();
      });
    });
  });
  // A replica is no reason for this process to live on.
  child.unref();
  for (const stream of [child.stdout, child.stderr]) (stream as unknown as { unref?: () => void }).unref?.();
  return {
    rank,
    ended,
    async close() {
      child.ref();
      const isOver = await Promise.race([ended.then(() => true), pause(GRACE, false, { ref: false })]);
      if (!isOver) child.kill('SIGKILL');
      await ended;
    },
  };
}

/** "rank 1 ended by SIGKILL: last line that it said". */
export function describeEnd({ rank, code, signal, said }: ReplicaEnd): string {
  const last = said.trim().split('\n').at(-1);
  const how = signal === null ? `with code ${code}` : `by ${signal}`;
  return `rank ${rank} ended ${how}${last ? `: ${last}` : ''}`;
}
