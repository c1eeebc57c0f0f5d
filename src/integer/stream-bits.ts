// Bits of values in fixed point between layers: from how many on the poorest network is still itself, to what leaves
// room for a bias within 32.

export const STREAM_BITS = { least: 12, usual: 28, most: 31 } as const;
