// A log that grows, read once: each look reads the bytes behind those that were read before. Invariant: `records` are
// the whole lines of the file as it was at the last look. A log that was cut or replaced (a run that went on from an
// earlier point) is read again from its start; a line that is not finished waits, and one that is no record is counted.

import { type FileHandle, open } from 'node:fs/promises';

/** Bytes before the end of what was read that must still be the same, or the file is another one. */
const REMEMBERED = 64;
const CHUNK = 1 << 20;
/** Longest line, in bytes: what is longer is no record. */
const LONGEST_LINE = 16 << 20;

export interface Growth<T> {
  /** How many records of before still hold. */
  readonly from: number;
  readonly records: readonly T[];
}

export class Tail<T> {
  readonly records: T[] = [];
  /** Lines that are no records. */
  faults = 0;
  readonly #path: string;
  readonly #parse: (line: unknown) => T | undefined;
  #offset = 0;
  #inode = 0n;
  #rest = Buffer.alloc(0);
  #looking: Promise<Growth<T> | undefined> = Promise.resolve(undefined);

  /** `parse`: a line's JSON as a record; undefined where it is none. */
  constructor(path: string, parse: (line: unknown) => T | undefined) {
    this.#path = path;
    this.#parse = parse;
  }

  /** What is new since the last look; undefined where nothing is. Looks are taken one after the other. */
  look(): Promise<Growth<T> | undefined> {
    this.#looking = this.#looking.then(
      () => this.#read(),
      () => this.#read(),
    );
    return this.#looking;
  }

  async #read(): Promise<Growth<T> | undefined> {
    let file: FileHandle;
    try {
      file = await open(this.#path, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return this.records.length > 0 ? this.#startAgain([]) : undefined;
    }
    try {
      const { size, ino } = await file.stat({ bigint: true });
      const isSame = ino === this.#inode && size >= this.#offset && (await this.#isContinued(file));
      this.#inode = ino;
      if (isSame) {
        if (Number(size) === this.#offset) return undefined;
        const from = this.records.length;
        const records = await this.#append(file, Number(size));
        return records.length > 0 ? { from, records } : undefined;
      }
      const before = this.records.length;
      const again = this.#startAgain([]);
      const records = await this.#append(file, Number(size));
      return before === 0 && records.length === 0 ? undefined : { ...again, records };
    } finally {
      await file.close();
    }
  }

  #startAgain(records: readonly T[]): Growth<T> {
    this.records.length = 0;
    this.faults = 0;
    this.#offset = 0;
    this.#rest = Buffer.alloc(0);
    this.#last = Buffer.alloc(0);
    return { from: 0, records };
  }

  #last = Buffer.alloc(0);

  async #isContinued(file: FileHandle): Promise<boolean> {
    const { length } = this.#last;
    if (length === 0) return true;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, this.#offset - length);
    return bytesRead === length && buffer.equals(this.#last);
  }

  async #append(file: FileHandle, size: number): Promise<readonly T[]> {
    const before = this.records.length;
    while (this.#offset < size) {
      const wanted = Math.min(CHUNK, size - this.#offset);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(wanted), 0, wanted, this.#offset);
      if (bytesRead === 0) break;
      const bytes = buffer.subarray(0, bytesRead);
      this.#offset += bytesRead;
      this.#last = Buffer.concat([this.#last, bytes]).subarray(-REMEMBERED);
      this.#take(bytes);
    }
    return this.records.slice(before);
  }

  #take(bytes: Buffer): void {
    let lines = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes;
    for (let end = lines.indexOf(10); end >= 0; end = lines.indexOf(10)) {
      const record = this.#recordOf(lines.toString('utf8', 0, end));
      if (record === undefined) this.faults++;
      else this.records.push(record);
      lines = lines.subarray(end + 1);
    }
    this.#rest = lines.length > LONGEST_LINE ? Buffer.alloc(0) : Buffer.from(lines);
  }

  #recordOf(line: string): T | undefined {
    try {
      return this.#parse(JSON.parse(line));
    } catch {
      return undefined;
    }
  }
}
