// Places in a range that grows as it must: what lives at the same time shares no byte, and what was freed is used
// again.
// Invariant: offsets and sizes are multiples of the alignment, and no two blocks in use overlap.
// Not here: when something dies (plan.ts).

/** The least multiple of the alignment that holds so many bytes, one at least. */
export const aligned = (bytes: number, alignment: number): number =>
  Math.max(1, Math.ceil(bytes / alignment)) * alignment;

/** Best-fit allocation of aligned blocks in a growing range; neighbours that are free merge. */
export class Arena {
  readonly #alignment: number;
  readonly #used = new Map<number, number>();
  #free: { offset: number; bytes: number }[] = [];
  size = 0;

  constructor(alignment: number) {
    this.#alignment = alignment;
  }

  allocate(bytes: number): number {
    const need = aligned(bytes, this.#alignment);
    let best = -1;
    this.#free.forEach((block, index) => {
      if (block.bytes >= need && (best < 0 || block.bytes < this.#free[best]!.bytes)) best = index;
    });
    let offset: number;
    if (best >= 0) {
      const block = this.#free[best]!;
      offset = block.offset;
      if (block.bytes === need) this.#free.splice(best, 1);
      else this.#free[best] = { offset: offset + need, bytes: block.bytes - need };
    } else {
      const tail = this.#free.at(-1);
      const extend = tail && tail.offset + tail.bytes === this.size ? this.#free.pop()! : undefined;
      offset = extend ? extend.offset : this.size;
      this.size = offset + need;
    }
    this.#used.set(offset, need);
    return offset;
  }

  /** Bytes of the block in use at this offset; 0 where there is none. */
  sizeOf(offset: number): number {
    return this.#used.get(offset) ?? 0;
  }

  /** Returns the bytes that became free. */
  free(offset: number): number {
    const bytes = this.sizeOf(offset);
    if (bytes === 0) return 0;
    this.#used.delete(offset);
    const blocks = [...this.#free, { offset, bytes }].sort((a, b) => a.offset - b.offset);
    this.#free = [];
    for (const block of blocks) {
      const previous = this.#free.at(-1);
      if (previous && previous.offset + previous.bytes === block.offset) previous.bytes += block.bytes;
      else this.#free.push({ ...block });
    }
    return bytes;
  }
}
