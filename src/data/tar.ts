// Members of a tar file (ustar, POSIX.1-1988, with GNU and pax long names), plain or gzip, as a stream: of a large
// archive only what is wanted is ever in memory.
// Invariant: sizes are taken from headers whose checksum holds and stay within a limit; an archive that ends early is
// refused. Nothing is written to a disk, so that no name can lead anywhere; links and devices are passed over.

import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { UserError } from '../tensor/errors.ts';
import { fileError } from '../tensor/files.ts';
import { isGzip } from '../tensor/gzip.ts';
import { formatBytes } from '../tensor/numbers.ts';

const BLOCK = 512;
const LONGEST_NAME = 2 ** 16;

interface Header {
  readonly name: string;
  readonly size: number;
  readonly type: string;
}

/** The wanted members, by name without a leading "./"; together at most `limit` bytes. Throws a UserError. */
export async function tarMembers(
  path: string,
  wanted: (name: string) => boolean,
  limit: number,
): Promise<Map<string, Uint8Array>> {
  const reader = new BlockReader(path);
  const members = new Map<string, Uint8Array>();
  let total = 0;
  let longName: string | undefined;
  try {
    for (;;) {
      const block = await reader.take(BLOCK);
      // Two blocks of zeros end an archive; some end without them.
      if (block === undefined || block.every((byte) => byte === 0)) return members;
      const header = headerOf(block, path);
      const padded = Math.ceil(header.size / BLOCK) * BLOCK;
      if (header.type === 'L' || header.type === 'x') {
        if (header.size > LONGEST_NAME) throw new UserError(`${path}: a name of ${header.size} bytes in the archive`);
        const text = Buffer.from(await reader.need(padded)).toString('utf8', 0, header.size);
        longName = header.type === 'L' ? text.replace(/\0.*$/s, '') : (/^\d+ path=(.*)$/m.exec(text)?.[1] ?? longName);
        continue;
      }
      const name = (longName ?? header.name).replace(/^(\.\/)+/, '');
      longName = undefined;
      if ((header.type === '0' || header.type === '') && wanted(name)) {
        total += header.size;
        if (total > limit) throw new UserError(`${path}: ${name} and others hold more than ${formatBytes(limit)}`);
        members.set(name, (await reader.need(padded)).slice(0, header.size));
      } else await reader.skip(padded);
    }
  } finally {
    reader.close();
  }
}

function headerOf(block: Uint8Array, path: string): Header {
  const bytes = Buffer.from(block.buffer, block.byteOffset, BLOCK);
  const text = (from: number, to: number) => bytes.toString('utf8', from, to).replace(/\0.*$/s, '');
  const octal = (from: number, to: number) => Number.parseInt(text(from, to).trim() || '0', 8);
  const sum = bytes.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  if (sum !== octal(148, 156))
    throw new UserError(`${path} is no tar archive, or damaged: the checksum of a header is wrong`);
  // Large sizes are binary, behind a set first bit.
  const size = bytes[124]! & 0x80 ? Number(bytes.readBigUInt64BE(128)) : octal(124, 136);
  if (!Number.isSafeInteger(size) || size < 0)
    throw new UserError(`${path}: a member of the archive has no valid size`);
  const prefix = text(257, 262) === 'ustar' ? text(345, 500) : '';
  return { name: prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`, size, type: text(156, 157) };
}

/** Bytes of a file in order, unpacked where it is gzip. */
class BlockReader {
  readonly #path: string;
  readonly #file: ReturnType<typeof createReadStream>;
  #chunks: AsyncIterator<Uint8Array> | undefined;
  #rest: Uint8Array = new Uint8Array();

  constructor(path: string) {
    this.#path = path;
    this.#file = createReadStream(path, { highWaterMark: 2 ** 18 });
  }

  /** The next bytes; undefined at the end of the file. Fewer than asked for are an error. */
  async take(count: number): Promise<Uint8Array | undefined> {
    const taken = new Uint8Array(count);
    const found = await this.#pass(count, (part, at) => taken.set(part, at));
    if (found === 0 && count > 0) return undefined;
    if (found < count) throw new UserError(`${this.#path} ends inside its archive; it is cut off, fetch it again`);
    return taken;
  }

  async need(count: number): Promise<Uint8Array> {
    const taken = await this.take(count);
    if (!taken) throw new UserError(`${this.#path} ends inside its archive; it is cut off, fetch it again`);
    return taken;
  }

  async skip(count: number): Promise<void> {
    if ((await this.#pass(count, () => {})) < count) {
      throw new UserError(`${this.#path} ends inside its archive; it is cut off, fetch it again`);
    }
  }

  async #pass(count: number, use: (part: Uint8Array, at: number) => void): Promise<number> {
    let passed = 0;
    while (passed < count) {
      if (this.#rest.length === 0) {
        const next = await this.#next();
        if (!next) break;
        this.#rest = next;
      }
      const part = this.#rest.subarray(0, count - passed);
      use(part, passed);
      passed += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    return passed;
  }

  async #next(): Promise<Uint8Array | undefined> {
    try {
      this.#chunks ??= await this.#open();
      const { value, done } = await this.#chunks.next();
      return done ? undefined : value;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (!code?.startsWith('Z_')) throw fileError('read', this.#path, error);
      const cause = code === 'Z_BUF_ERROR' ? 'end too early; it is cut off' : 'are damaged';
      throw new UserError(`cannot read ${this.#path}: its gzip data ${cause}, fetch it again`);
    }
  }

  async #open(): Promise<AsyncIterator<Uint8Array>> {
    const chunks: AsyncIterator<Uint8Array> = this.#file[Symbol.asyncIterator]();
    const first = await chunks.next();
    if (first.done) return chunks;
    const whole = async function* () {
      yield first.value;
      yield* { [Symbol.asyncIterator]: () => chunks };
    };
    if (!isGzip(first.value)) return whole();
    const unpacked = createGunzip();
    void (async () => {
      try {
        for await (const chunk of whole()) {
          if (!unpacked.write(chunk)) await new Promise((resume) => unpacked.once('drain', resume));
        }
        unpacked.end();
      } catch (error) {
        unpacked.destroy(error as Error);
      }
    })();
    return unpacked[Symbol.asyncIterator]();
  }

  close(): void {
    this.#file.destroy();
  }
}
