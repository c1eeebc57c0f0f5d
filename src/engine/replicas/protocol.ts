// What the leader of several replicas and each of them say to each other over a socket: orders one way, answers the
// other, each a frame of a few words of JSON and the bytes of tensors.
//   frame   "TRAM", u32 bytes of the head, u64 bytes of the body, all little-endian; head; body
//   head    JSON: the message, and the lengths of the sections of the body, each of which begins at a multiple of 8
// Invariant: frames arrive whole and in their order, or the connection is lost. What was given to `send` may not change
// until it is resolved.
// Not here: how a connection comes about, and who may connect (ranks/).

import type { Socket } from 'node:net';
import { BusyError, LostDeviceError, oneLine, StorageError, TooLargeError, UserError } from '../../tensor/errors.ts';
import type { DType, Shape, TensorData } from '../../tensor/tensor.ts';

/** From the leader; what has a `call` is answered. */
export type Order =
  | { readonly kind: 'open' | 'close'; readonly call: number; readonly session: number }
  /**
   * `graph`: the text of portable.ts; sections: the constants that the session has not seen, in this order. Answered
   * when the program waits for the others; `meet` lets it go on when all do, and is answered when it is built.
   */
  | {
      readonly kind: 'compile';
      readonly call: number;
      readonly session: number;
      readonly program: number;
      readonly graph: string;
      readonly constants: readonly SentConstant[];
    }
  /** A variable is written; one section. */
  | {
      readonly kind: 'write';
      readonly session: number;
      readonly name: string;
      readonly dtype: DType;
      readonly shape: Shape;
    }
  /** Inputs are written, a section each, and the program is run. */
  | { readonly kind: 'run'; readonly session: number; readonly program: number; readonly inputs: readonly SentInput[] }
  | { readonly kind: 'meet'; readonly call: number; readonly session: number; readonly program: number }
  /** Of a program that was built, that waits to go on, or that could not be compiled. */
  | { readonly kind: 'drop'; readonly session: number; readonly program: number }
  | { readonly kind: 'digest'; readonly call: number; readonly session: number; readonly names: readonly string[] };

export interface SentConstant {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly digest: string;
  /** Whether its bytes are a section of this frame; else the session has them. */
  readonly sent: boolean;
}

export interface SentInput {
  readonly name: string;
  readonly dtype: DType;
}

/** From a replica. A fault is of an order that nobody waits for; the replica does nothing more. */
export type Answer =
  | { readonly kind: 'done'; readonly call: number; readonly digests?: readonly string[] }
  | { readonly kind: 'failed'; readonly call: number; readonly error: SentError }
  | { readonly kind: 'fault'; readonly error: SentError }
  /** Nothing; that a side is gone shows when something is sent to it. */
  | { readonly kind: 'beat' };

export interface SentError {
  readonly name: string;
  readonly message: string;
}

const errorClasses = { TooLargeError, LostDeviceError, StorageError, BusyError, UserError } as const;

export function sentError(error: unknown): SentError {
  const found = Object.entries(errorClasses).find(([, kind]) => error instanceof kind);
  return { name: found?.[0] ?? 'Error', message: error instanceof Error ? error.message : String(error) };
}

/**
 * The error of a replica as one of the leader, of the same class; what is nobody's mistake ends the work as a loss
 * does. `whose`: the replica, for people.
 */
export function errorOf({ name, message }: SentError, whose: string): UserError {
  const kind = errorClasses[name as keyof typeof errorClasses] ?? LostDeviceError;
  return new kind(`${whose}: ${message}`);
}

export interface Frame<M> {
  readonly message: M;
  readonly sections: readonly Uint8Array[];
}

/** The elements of a section, without a copy. */
export function elementsOf(dtype: DType, { buffer, byteOffset, byteLength }: Uint8Array): TensorData {
  if (dtype === 'u8') return new Uint8Array(buffer, byteOffset, byteLength);
  const count = byteLength / 4;
  return dtype === 'f32' ? new Float32Array(buffer, byteOffset, count) : new Int32Array(buffer, byteOffset, count);
}

export const bytesOf = ({ buffer, byteOffset, byteLength }: TensorData): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const MAGIC = Buffer.from('TRAM');
const PREFIX = 16;
/** A head holds a graph: some megabytes at most. */
const MOST_HEAD = 2 ** 29;
const MOST_BODY = 2 ** 36;
/** Sections up to this size are sent in one piece with the head. */
const SMALL = 2 ** 16;
/** Until a host that is gone without a word is noticed: seconds of silence before the system asks. */
const KEEP_ALIVE_SECONDS = 10;

const padded = (bytes: number): number => Math.ceil(bytes / 8) * 8;

export interface ConnectionOptions<In> {
  readonly receive: (frame: Frame<In>) => void;
  /** How long the other side may take nothing of what it is sent, in seconds; default 600. */
  readonly patience?: number;
}

/** One side of a socket that is connected, and of which nothing else is read. */
export class Connection<Out, In> {
  /** Resolves when the connection has ended, with why, for people. */
  readonly closed: Promise<string>;
  readonly #socket: Socket;
  readonly #patience: number;
  #unsent = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, { receive, patience = 600 }: ConnectionOptions<In>) {
    this.#socket = socket;
    this.#patience = patience;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_SECONDS * 1000);
    const parser = new FrameParser<In>(receive);
    let reason = 'its connection ended';
    socket.on('error', (error) => {
      reason = oneLine(error.message);
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        parser.take(chunk);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    // Whoever had the socket before may have halted it.
    socket.resume();
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        clearTimeout(this.#timer);
        resolve(reason);
      });
      if (socket.closed || socket.destroyed) resolve('its connection has ended already');
    });
  }

  /** Resolves when the system has all of the frame, or the connection has ended. */
  send(message: Out, sections: readonly Uint8Array[] = []): Promise<void> {
    const head = Buffer.from(JSON.stringify({ message, sections: sections.map(({ byteLength }) => byteLength) }));
    const body = sections.reduce((sum, { byteLength }) => sum + padded(byteLength), 0);
    const prefix = Buffer.alloc(PREFIX);
    MAGIC.copy(prefix);
    prefix.writeUInt32LE(padded(head.length), 4);
    prefix.writeBigUInt64LE(BigInt(body), 8);
    const pieces: Uint8Array[] = [prefix, head, Buffer.alloc(padded(head.length) - head.length, ' ')];
    for (const section of sections) {
      const rest = padded(section.byteLength) - section.byteLength;
      pieces.push(section, ...(rest > 0 ? [new Uint8Array(rest)] : []));
    }
    return this.#write(body <= SMALL ? [Buffer.concat(pieces)] : pieces);
  }

  /** No more is read until `resume`. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Whether the process stays for what may come. */
  keepProcess(keep: boolean): void {
    if (keep) this.#socket.ref();
    else this.#socket.unref();
  }

  destroy(reason?: string): void {
    this.#socket.destroy(reason === undefined ? undefined : new Error(reason));
  }

  #write(pieces: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve) => {
      this.#unsent++;
      this.#watch();
      const last = pieces.length - 1;
      this.#socket.cork();
      pieces.forEach((piece, at) => {
        this.#socket.write(piece, () => {
          if (at === last) this.#unsent--;
          this.#watch();
          // An error ends the connection, which is told by `closed`.
          if (at === last) resolve();
        });
      });
      this.#socket.uncork();
    });
  }

  /** Something was taken: until the next there is as much time again. */
  #watch(): void {
    clearTimeout(this.#timer);
    if (this.#unsent === 0 || this.#socket.destroyed) return;
    const give = () => this.destroy(`it has taken nothing of what it is sent for ${this.#patience} s`);
    this.#timer = setTimeout(give, this.#patience * 1000).unref();
  }
}

type Part = 'prefix' | 'head' | 'body';

/** Makes frames of the bytes as they come. */
class FrameParser<In> {
  readonly #receive: (frame: Frame<In>) => void;
  readonly #prefix = Buffer.alloc(PREFIX);
  /** What is being filled, how far, and what it is. */
  #into: Uint8Array = this.#prefix;
  #filled = 0;
  #part: Part = 'prefix';
  #bodyBytes = 0;
  #head: { readonly message: In; readonly sections: readonly number[] } | undefined;

  constructor(receive: (frame: Frame<In>) => void) {
    this.#receive = receive;
  }

  take(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const count = Math.min(chunk.length - at, this.#into.length - this.#filled);
      this.#into.set(chunk.subarray(at, at + count), this.#filled);
      at += count;
      this.#filled += count;
      while (this.#filled === this.#into.length) this.#next();
    }
  }

  /** What was filled is whole. */
  #next(): void {
    if (this.#part === 'prefix') {
      const head = this.#prefix.readUInt32LE(4);
      const body = Number(this.#prefix.readBigUInt64LE(8));
      const ours = this.#prefix.subarray(0, 4).equals(MAGIC) && head > 0 && head <= MOST_HEAD && body <= MOST_BODY;
      if (!ours) throw new Error('what it sent is no message of this program');
      this.#bodyBytes = body;
      this.#begin('head', new Uint8Array(head));
    } else if (this.#part === 'head') {
      this.#head = JSON.parse(Buffer.from(this.#into).toString());
      this.#begin('body', new Uint8Array(this.#bodyBytes));
    } else {
      const { message, sections } = this.#head!;
      const body = this.#into;
      let at = 0;
      const cut = sections.map((bytes) => {
        const section = body.subarray(at, at + bytes);
        at += padded(bytes);
        return section;
      });
      this.#begin('prefix', this.#prefix);
      this.#receive({ message, sections: cut });
    }
  }

  #begin(part: Part, into: Uint8Array): void {
    this.#part = part;
    this.#into = into;
    this.#filled = 0;
  }
}
