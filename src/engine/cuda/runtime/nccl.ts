// NCCL by FFI (koffi → libnccl.so.2): reductions between GPUs, of this host or of others. One table of signatures, one
// function through which every status goes. A failing call throws an Error with the call's name, NCCL's text for the
// status and, where there is one, its last message. What is done with it: communicator.ts. Source: nccl.h of the
// releases 2.14 to 2.30, whose structures begin alike.

import type koffi from 'koffi';
import { invariant } from '../../../tensor/errors.ts';
import type { ReduceKind } from '../../graph/ops.ts';

type Handle = bigint;
type Native = ((...values: readonly unknown[]) => unknown) & {
  async(...values: readonly unknown[]): void;
};

const signatures = {
  ncclGetVersion: 'int ncclGetVersion(void *version)',
  ncclGetUniqueId: 'int ncclGetUniqueId(void *id)',
  ncclGetErrorString: 'const char *ncclGetErrorString(int status)',
  ncclGetLastError: 'const char *ncclGetLastError(void *communicator)',
  ncclCommGetAsyncError: 'int ncclCommGetAsyncError(void *communicator, void *status)',
  ncclCommDestroy: 'int ncclCommDestroy(void *communicator)',
  ncclCommAbort: 'int ncclCommAbort(void *communicator)',
  ncclGroupStart: 'int ncclGroupStart()',
  ncclGroupEnd: 'int ncclGroupEnd()',
  ncclAllReduce:
    'int ncclAllReduce(uint64_t from, uint64_t to, size_t count, int type, int operation, void *communicator, void *stream)',
} as const;

type Call = keyof typeof signatures | 'ncclCommInitRankConfig';

/** Bytes of the name under which the ranks of a communicator find each other. */
export const ID_BYTES = 128;

/** The oldest version that can be asked to join without waiting. */
const OLDEST_VERSION = 21400;

const SUCCESS = 0;
const IN_PROGRESS = 7;
const FLOAT32 = 7;
/** ncclRedOp_t. */
const operations: Readonly<Record<ReduceKind, number>> = { sum: 0, max: 2, min: 3, mean: 4 };

/**
 * ncclConfig_t as 2.14 had it, which newer versions take for what it says it is: size, magic, version, blocking, four
 * bytes of padding.
 */
export function nonBlocking(): Uint8Array {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, 24n, true);
  view.setUint32(8, 0xcafebeef, true);
  view.setUint32(12, OLDEST_VERSION, true);
  view.setInt32(16, 0, true);
  return bytes;
}

/**
 * Tells NCCL that graphs with reductions never run at once (communicator.ts), unless the environment says something of
 * it; NCCL then leaves out two events around each reduction. By the C library, which NCCL asks: what a thread other
 * than the first writes to `process.env` stays in that thread.
 */
function sayGraphsTakeTurns(ffi: typeof koffi): void {
  const setenv = ffi.load(null).func('int setenv(const char *name, const char *value, int overwrite)');
  setenv('NCCL_GRAPH_MIXING_SUPPORT', '0', 0);
}

/** 22809 → 2.28.9. */
export function formatNcclVersion(code: number): string {
  return code < 10000
    ? `${Math.floor(code / 1000)}.${Math.floor((code % 1000) / 100)}.${code % 100}`
    : `${Math.floor(code / 10000)}.${Math.floor((code % 10000) / 100)}.${code % 100}`;
}

/** The loaded library. */
export class Nccl {
  readonly library: string;
  /** For example 2.28.9. */
  readonly version: string;
  readonly #calls: Record<Call, Native>;

  /** Throws where the library cannot be opened or is too old. */
  constructor(ffi: typeof koffi, library: string) {
    this.library = library;
    sayGraphsTakeTurns(ffi);
    const loaded = ffi.load(library);
    const version = new Int32Array(1);
    (loaded.func(signatures.ncclGetVersion) as Native)(version);
    this.version = formatNcclVersion(version[0]!);
    if (version[0]! < OLDEST_VERSION) {
      throw new Error(
        `${library} is NCCL ${this.version}, and ${formatNcclVersion(OLDEST_VERSION)} or newer is needed`,
      );
    }
    const entries = Object.entries(signatures).map(([name, text]) => [name, loaded.func(text)] as const);
    const id = ffi.struct({ internal: ffi.array('uint8_t', ID_BYTES) });
    const init = loaded.func('ncclCommInitRankConfig', 'int', ['void *', 'int', id, 'int', 'void *']);
    this.#calls = { ...Object.fromEntries(entries), ncclCommInitRankConfig: init } as unknown as Record<Call, Native>;
  }

  /** A name for one communicator, made by one of its ranks for all; that process must live until all have joined. */
  uniqueId(): Uint8Array {
    const id = new Uint8Array(ID_BYTES);
    this.#check('ncclGetUniqueId', this.#calls.ncclGetUniqueId(id));
    return id;
  }

  /** Begins to join; the communicator is in progress until all ranks have come. */
  join({ rank, ranks, id }: { readonly rank: number; readonly ranks: number; readonly id: Uint8Array }): Handle {
    invariant(id.length === ID_BYTES, `${id.length} bytes of a communicator’s name`);
    const out = new BigUint64Array(1);
    const status = this.#calls.ncclCommInitRankConfig(out, ranks, { internal: id }, rank, nonBlocking());
    this.#check('ncclCommInitRankConfig', status);
    return out[0]!;
  }

  /** Whether what was begun is done; throws where it failed, or anything since. */
  settled(communicator: Handle): boolean {
    const status = new Int32Array(1);
    this.#check('ncclCommGetAsyncError', this.#calls.ncclCommGetAsyncError(communicator, status));
    this.#check('ncclCommGetAsyncError', status[0], communicator);
    return status[0] === SUCCESS;
  }

  /** Begins one reduction of several f32 tensors on a stream; the next one may begin when it is settled. */
  allReduce(
    kind: ReduceKind,
    parts: readonly { readonly from: Handle; readonly to: Handle; readonly count: number }[],
    communicator: Handle,
    stream: Handle,
  ): void {
    const { ncclGroupStart, ncclAllReduce, ncclGroupEnd } = this.#calls;
    this.#check('ncclGroupStart', ncclGroupStart());
    let failed: unknown;
    try {
      for (const { from, to, count } of parts) {
        const status = ncclAllReduce(from, to, count, FLOAT32, operations[kind], communicator, stream);
        this.#check('ncclAllReduce', status, communicator);
      }
    } catch (error) {
      failed = error;
    }
    // A group that was begun must end, also where it failed: the thread stays in it otherwise.
    const status = ncclGroupEnd();
    if (failed !== undefined) throw failed;
    this.#check('ncclGroupEnd', status, communicator);
  }

  /** Gives a communicator up when all work is done and all graphs with its reductions are destroyed. */
  destroy(communicator: Handle): Promise<void> {
    return this.#end('ncclCommDestroy', communicator);
  }

  /** Ends what is running on the device and gives the communicator up; waits until those graphs are destroyed. */
  abort(communicator: Handle): Promise<void> {
    return this.#end('ncclCommAbort', communicator);
  }

  /** On a thread of its own: both wait, for others among other things. */
  #end(name: 'ncclCommDestroy' | 'ncclCommAbort', communicator: Handle): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#calls[name].async(communicator, (error: unknown, status: number) => {
        try {
          if (error) throw error;
          this.#check(name, status);
          resolve();
        } catch (failure) {
          reject(failure);
        }
      });
    });
  }

  #check(name: Call, status: unknown, communicator: Handle | null = null): void {
    if (status === SUCCESS || status === IN_PROGRESS) return;
    const text = this.#calls.ncclGetErrorString(status) as string;
    const last = (this.#calls.ncclGetLastError(communicator) as string | null) ?? '';
    throw new Error(`${name}: ${text}${last.trim() === '' ? '' : ` (${last.trim()})`}`);
  }
}
