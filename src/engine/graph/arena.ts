// Places in a range of bytes for what lives at the same time: which lives when is told first, and once all of it is
// known the largest are placed first, each as low as what lives beside it allows (Pisarchyk and Lee, 2020: Efficient
// memory management for deep neural net inference).
// Invariant: offsets and sizes are multiples of the alignment, and no two blocks that live at one time overlap.
// Not here: when something dies (plan.ts).

/** The least multiple of the alignment that holds so many bytes, one at least. */
export const aligned = (bytes: number, alignment: number): number =>
  Math.max(1, Math.ceil(bytes / alignment)) * alignment;

/** Where a block is; the offset is known when the arena is laid out. */
export interface InArena {
  readonly region: 'arena';
  readonly offset: number;
}

interface Block {
  readonly place: { readonly region: 'arena'; offset: number };
  readonly bytes: number;
  /** How many blocks were allocated before it, and before it was free. */
  readonly from: number;
  to: number;
}

/** Blocks in the order in which they begin to live and become free, laid out when that is known of all. */
export class Arena {
  readonly #alignment: number;
  readonly #blocks: Block[] = [];
  readonly #used = new Map<InArena, Block>();

  constructor(alignment: number) {
    this.#alignment = alignment;
  }

  allocate(bytes: number): InArena {
    const place = { region: 'arena' as const, offset: Number.NaN };
    const ofBlock = aligned(bytes, this.#alignment);
    const block = { place, bytes: ofBlock, from: this.#blocks.length, to: Number.POSITIVE_INFINITY };
    this.#blocks.push(block);
    this.#used.set(place, block);
    return place;
  }

  /** Bytes of the block in use at this place; 0 where there is none. */
  sizeOf(place: InArena): number {
    return this.#used.get(place)?.bytes ?? 0;
  }

  /** Returns the bytes that became free. */
  free(place: InArena): number {
    const block = this.#used.get(place);
    if (!block) return 0;
    this.#used.delete(place);
    block.to = this.#blocks.length;
    return block.bytes;
  }

  /** Gives all places their offsets. Returns the bytes of the arena; nothing is allocated or freed afterwards. */
  layOut(): number {
    const placed: Block[] = [];
    let size = 0;
    for (const block of this.#blocks.toSorted((a, b) => b.bytes - a.bytes)) {
      let offset = 0;
      for (const other of placed) {
        if (other.from >= block.to || block.from >= other.to) continue;
        if (other.place.offset - offset >= block.bytes) break;
        offset = Math.max(offset, other.place.offset + other.bytes);
      }
      block.place.offset = offset;
      size = Math.max(size, offset + block.bytes);
      const at = placed.findIndex((other) => other.place.offset > offset);
      placed.splice(at < 0 ? placed.length : at, 0, block);
    }
    return size;
  }
}
