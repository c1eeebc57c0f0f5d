// A replica: does on its own device what the leader's sessions say, one order after the other, until the leader ends.
// Only while a program waits for those of the other replicas, what becomes of it goes first: a device that keeps the
// order of the calls begins nothing behind it before that.
// Invariant: it decides nothing. An order that fails and that the leader does not wait for ends it, with a word to the
// leader; when the leader is gone it ends, whatever its device is waiting for.

import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { invariant, UserError } from '../../tensor/errors.ts';
import type { TensorData } from '../../tensor/tensor.ts';
import type { Backend, Program, Session } from '../backend.ts';
import type { Graph } from '../graph/graph.ts';
import { unpackGraph } from './portable.ts';
import { type Answer, Connection, elementsOf, type Frame, type Order, sentError } from './protocol.ts';
import { digestsOf } from './session.ts';

/** Bytes of frames that wait; beyond, no more are read. */
const MOST_WAITING = 2 ** 28;
/**
 * Signs of life: the leader gives up one that has stopped; and while nothing is read only what is sent shows that the
 * leader is gone.
 */
const BEAT_MS = 2000;
/** How long the leader has to take a replica's last word. */
const LAST_WORD_MS = 3000;

interface Served {
  readonly session: Session;
  readonly programs: Map<number, Program>;
  /** Programs that wait for those of the other replicas. */
  readonly waiting: Map<number, Waiting>;
  /** Constants by the digest of their content. */
  readonly constants: Map<string, TensorData>;
}

interface Waiting {
  readonly built: Promise<Program>;
  readonly goOn: () => void;
  readonly giveUp: (reason: Error) => void;
}

/**
 * Serves a leader at the other end of the socket. Resolves when it ends with all its sessions closed; throws a
 * UserError when it is gone in the middle of its work, and whatever an order threw. Then the process should end: its
 * device may still wait for the others.
 */
export async function serveReplica(socket: Socket, backend: Backend): Promise<void> {
  const orders = new Orders();
  const connection = new Connection<Answer, Order>(socket, { receive: (frame) => orders.add(frame, connection) });
  const sessions = new Map<number, Served>();
  const beat = setInterval(() => connection.send({ kind: 'beat' }), BEAT_MS).unref();
  const gone = connection.closed.then((why) => {
    orders.end();
    return why;
  });
  try {
    const failed = serve(orders, connection, sessions, backend);
    const fault = await Promise.race([failed, gone.then(() => undefined)]);
    if (fault) {
      // To close now, with orders unread, could take the last word from the leader; it closes when it has heard it.
      await Promise.race([gone, pause(LAST_WORD_MS, undefined, { ref: false })]);
      throw fault.error;
    }
    if (sessions.size > 0) {
      throw new UserError(`rank 0 is gone in the middle of its work: ${await gone}; what it says is the reason`);
    }
  } finally {
    clearInterval(beat);
    connection.destroy();
  }
}

/** Until no more orders come, or one fails that nobody waits for: with that. */
async function serve(
  orders: Orders,
  connection: Connection<Answer, Order>,
  sessions: Map<number, Served>,
  backend: Backend,
): Promise<{ readonly error: unknown } | undefined> {
  const next = () => orders.next(connection, (order) => isNext(order, sessions));
  for (let frame = await next(); frame; frame = await next()) {
    const { message } = frame;
    try {
      const digests = await obey(frame, sessions, backend);
      if ('call' in message) {
        connection.send({ kind: 'done', call: message.call, ...(digests === undefined ? {} : { digests }) });
      }
    } catch (error) {
      if ('call' in message) {
        connection.send({ kind: 'failed', call: message.call, error: sentError(error) });
        continue;
      }
      await connection.send({ kind: 'fault', error: sentError(error) });
      return { error };
    }
  }
  return undefined;
}

/** Whether an order does not have to wait for what becomes of a program. */
function isNext(order: Order, sessions: ReadonlyMap<number, Served>): boolean {
  if (![...sessions.values()].some(({ waiting }) => waiting.size > 0)) return true;
  if (order.kind !== 'meet' && order.kind !== 'drop') return false;
  return sessions.get(order.session)?.waiting.has(order.program) ?? false;
}

/** Does what an order says; the digests where it asks for some. */
async function obey(
  { message, sections }: Frame<Order>,
  sessions: Map<number, Served>,
  backend: Backend,
): Promise<readonly string[] | undefined> {
  if (message.kind === 'open') {
    const session = await backend.openSession();
    sessions.set(message.session, { session, programs: new Map(), waiting: new Map(), constants: new Map() });
    return undefined;
  }
  const served = sessions.get(message.session);
  invariant(served, `no session ${message.session} on this replica`);
  const { session, programs, waiting, constants } = served;
  switch (message.kind) {
    case 'close':
      sessions.delete(message.session);
      await session.dispose();
      return undefined;
    case 'compile': {
      const rest = sections[Symbol.iterator]();
      const tensors = message.constants.map(({ dtype, shape, digest, sent }) => {
        const data = sent ? elementsOf(dtype, rest.next().value!) : constants.get(digest);
        invariant(data, `the session has no constant ${digest}`);
        constants.set(digest, data);
        return { dtype, shape, data };
      });
      const graph = unpackGraph({ text: message.graph, constants: tensors });
      waiting.set(message.program, await prepared(session, graph));
      return undefined;
    }
    case 'meet': {
      const program = waiting.get(message.program);
      invariant(program, `no program ${message.program} waits in this session`);
      waiting.delete(message.program);
      program.goOn();
      programs.set(message.program, await program.built);
      return undefined;
    }
    case 'write': {
      const { name, dtype, shape } = message;
      session.write(name, { dtype, shape, data: elementsOf(dtype, sections[0]!) });
      return undefined;
    }
    case 'run': {
      const program = programs.get(message.program);
      invariant(program, `no program ${message.program} in this session`);
      message.inputs.forEach(({ name, dtype }, at) => {
        program.write(name, elementsOf(dtype, sections[at]!));
      });
      await program.run();
      return undefined;
    }
    case 'drop':
      await givenUp(waiting.get(message.program));
      waiting.delete(message.program);
      await programs.get(message.program)?.dispose();
      programs.delete(message.program);
      return undefined;
    case 'digest':
      return await digestsOf(session, message.names);
  }
}

/** A program that has come so far that it waits for the others, or is built already; throws where it fails before. */
async function prepared(session: Session, graph: Graph): Promise<Waiting> {
  let [goOn, giveUp]: [() => void, (reason: Error) => void] = [() => {}, () => {}];
  const meeting = new Promise<void>((resolve, reject) => {
    [goOn, giveUp] = [resolve, reject];
  });
  let built: Promise<Program> | undefined;
  const waits = new Promise<void>((resolve) => {
    built = session.compile(graph, () => {
      resolve();
      return meeting;
    });
  });
  // Whoever waits for them hears of it.
  for (const promise of [meeting, built!]) promise.catch(() => {});
  await Promise.race([waits, built!]);
  return { built: built!, goOn, giveUp };
}

async function givenUp(program: Waiting | undefined): Promise<void> {
  program?.giveUp(new Error('another replica cannot build this program'));
  await program?.built.then(
    (built) => built.dispose(),
    () => {},
  );
}

/** The orders that have come and wait. */
class Orders {
  readonly #waiting: Frame<Order>[] = [];
  #bytes = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  /** Whether no more are read. */
  get full(): boolean {
    return this.#bytes > MOST_WAITING;
  }

  add(frame: Frame<Order>, connection: Connection<Answer, Order>): void {
    this.#waiting.push(frame);
    this.#bytes += bytesIn(frame);
    if (this.full) connection.pause();
    this.#wake?.();
  }

  /** No more come. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** The first order that is wanted now, as soon as there is one; none when the leader has ended. */
  async next(
    connection: Connection<Answer, Order>,
    isWanted: (order: Order) => boolean,
  ): Promise<Frame<Order> | undefined> {
    for (;;) {
      const at = this.#waiting.findIndex(({ message }) => isWanted(message));
      if (at >= 0) return this.#take(at, connection);
      if (this.#ended) return undefined;
      // It comes behind all that waits.
      if (this.full) connection.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #take(at: number, connection: Connection<Answer, Order>): Frame<Order> {
    const wasFull = this.full;
    const [frame] = this.#waiting.splice(at, 1) as [Frame<Order>];
    this.#bytes -= bytesIn(frame);
    if (wasFull && !this.full) connection.resume();
    return frame;
  }
}

const bytesIn = ({ sections }: Frame<Order>): number => sections.reduce((sum, { byteLength }) => sum + byteLength, 0);
