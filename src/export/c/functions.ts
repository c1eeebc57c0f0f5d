// The C functions that operations of a network are calls of, each made for the types that it meets, once.
// Invariant: nothing here depends on how a compiler shifts a negative number, divides one, or overflows: what could
// leave 32 bits is computed in 64, bounds that the network proves hold the rest (check.ts), and operands become
// patterns by conversion to unsigned.
// A product has two forms under one name: by look-up (or by the processor's own product, where the multiplier is
// exact), and, with PRODUCTS_BY_GATES, by the gates of its netlist, 64 outputs at a time.

import type { ProductTable } from '../../multiplier/table.ts';
import { type CType, cTypes } from './memory.ts';

const PRELUDE = `/* A window that slides over an image; of a convolution, or of a pool. */
struct window {
  int in_height, in_width, in_channels;
  int out_height, out_width, out_channels;
  int height, width, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups;
};

static inline int32_t limited(int64_t value, int32_t low, int32_t high)
{
  return value < low ? low : value > high ? high : (int32_t)value;
}
`;

const ROUNDING = `struct requantisation {
  size_t channels;
  int fraction;
  const int32_t *bias, *multiplier;
  const uint8_t *shift;
  const int32_t *offset;
  int32_t low, high;
};

/* value / 2^shift to the nearest integer, halves to the even one; shift from 1 to 62. */
static inline int64_t rounded(int64_t value, int shift)
{
  const int64_t floor = value < 0 ? ~(~value >> shift) : value >> shift;
  const uint64_t half = (uint64_t)1 << (shift - 1);
  const uint64_t rest = (uint64_t)value & (2 * half - 1);
  return floor + (rest > half || (rest == half && (floor & 1)));
}
`;

const PRODUCT = `struct product {
  struct window window;
  int32_t step, activation_zero;
  const int32_t *weight_zero; /* of each output channel */
  const int32_t *zero_row;    /* of each activation: what is taken off instead of weight_zero times it; or none */
};
`;

const SLICES = `/* Bits of 64 operands: bit n of planes[i] is bit i of operand n. Eight operands in a word are a matrix of 8x8 bits. */
static inline void slice(const uint8_t operands[64], int bits, uint64_t *planes)
{
  for (int i = 0; i < bits; i++) planes[i] = 0;
  for (int n = 0; n < 64; n += 8) {
    uint64_t matrix = 0, swap;
    for (int k = 0; k < 8; k++) matrix |= (uint64_t)operands[n + k] << 8 * k;
    swap = (matrix ^ matrix >> 7) & 0x00aa00aa00aa00aau;
    matrix ^= swap ^ swap << 7;
    swap = (matrix ^ matrix >> 14) & 0x0000cccc0000ccccu;
    matrix ^= swap ^ swap << 14;
    swap = (matrix ^ matrix >> 28) & 0x00000000f0f0f0f0u;
    matrix ^= swap ^ swap << 28;
    for (int i = 0; i < bits; i++) planes[i] |= (matrix >> 8 * i & 255u) << n;
  }
}

/* Adds 64 products to 64 sums of 32 bits where a lane is valid: a full adder for each bit. */
static inline void add_planes(const uint64_t *product, int bits, uint64_t sign, uint64_t valid, uint64_t sums[32])
{
  uint64_t carry = 0;
  for (int i = 0; i < 32; i++) {
    const uint64_t bit = (i < bits ? product[i] : sign) & valid, differ = sums[i] ^ bit;
    const uint64_t next = (sums[i] & bit) | (differ & carry);
    sums[i] = differ ^ carry;
    carry = next;
  }
}

/* The sum of a lane, in two's complement. */
static inline int64_t lane(const uint64_t sums[32], int n)
{
  int64_t value = 0;
  for (int i = 0; i < 32; i++) value |= (int64_t)(sums[i] >> n & 1u) << i;
  return value - (value >> 31 << 32);
}
`;

/** A multiplier as products need it. */
export interface CMultiplier {
  readonly name: string;
  readonly table: ProductTable;
  readonly exact: boolean;
  /** Bits of the netlist's product; 0 where there is no netlist. */
  readonly productBits: number;
}

/** Collects functions as they are asked for; every method returns the name of its function. */
export class CFunctions {
  readonly #texts = new Map<string, string>([['', PRELUDE]]);
  /** Multipliers whose headers are needed, by form. */
  readonly looked = new Set<string>();
  readonly gated = new Set<string>();

  get text(): string {
    return [...this.#texts.values()].join('\n');
  }

  #need(name: string, text: string): string {
    if (!this.#texts.has(name)) this.#texts.set(name, text);
    return name;
  }

  /** (positions, channels, tables, in, out). */
  lookUp(from: CType, to: CType): string {
    const name = `look_up_${from}_${to}`;
    return this.#need(
      name,
      `static void ${name}(size_t positions, size_t channels, const ${c(to)} *restrict tables, const ${c(from)} *restrict in,
  ${c(to)} *restrict out)
{
  for (size_t n = 0; n < positions; n++)
    for (size_t k = 0; k < channels; k++) *out++ = tables[256 * k + *in++];
}
`,
    );
  }

  /** (count, constants, in, out). */
  requantise(from: CType, to: CType): string {
    this.#need('rounded', ROUNDING);
    const name = `requantise_${from}_${to}`;
    return this.#need(
      name,
      `static void ${name}(size_t count, const struct requantisation *by, const ${c(from)} *restrict in, ${c(to)} *restrict out)
{
  const int64_t unit = (int64_t)1 << by->fraction;
  for (size_t n = 0; n < count; n += by->channels)
    for (size_t k = 0; k < by->channels; k++) {
      const int64_t product = (in[n + k] * unit + by->bias[k]) * by->multiplier[k];
      out[n + k] = (${c(to)})limited(rounded(product, by->shift[k]) + by->offset[k], by->low, by->high);
    }
}
`,
    );
  }

  /** (constants, weights, in, out). */
  product(multiplier: CMultiplier, weights: CType, from: CType, to: CType): string {
    const { name: own, table, exact, productBits } = multiplier;
    const { weightBits, activationBits } = table;
    this.#need('product', PRODUCT);
    const name = `product_${weights}_${from}_${own}`;
    const head = `static void ${name}(const struct product *by, const ${c(weights)} *restrict weights, const ${c(from)} *restrict in,
  ${c(to)} *restrict out)
{
  const struct window g = by->window;
  const int32_t step = by->step, zero = by->activation_zero;
  const int32_t *restrict const weight_zero = by->weight_zero, *restrict const zero_row = by->zero_row;
  const int group_in = g.in_channels / g.groups, group_out = g.out_channels / g.groups;
`;
    const pattern = (operand: string, bits: number) => `(uint32_t)${operand} & ${2 ** bits - 1}u`;
    const activation = pattern('x', activationBits);
    const taken = (o: string) =>
      `(zero_row ? zero_row[${activation}] : weight_zero[${o}] * x) + zero * (step * w - weight_zero[${o}])`;
    if (!exact) this.looked.add(own);
    const looked = exact ? 'w * x' : `(int32_t)${own}_table[${pattern('w', weightBits)}][${activation}]`;
    const plain = `${head}  for (int y = 0; y < g.out_height; y++)
    for (int column = 0; column < g.out_width; column++, out += g.out_channels) {
      for (int o = 0; o < g.out_channels; o++) out[o] = 0;
      for (int tap = 0; tap < g.height * g.width; tap++) {
        const int at_y = y * g.stride_y - g.padding_y + tap / g.width * g.dilation_y;
        const int at_x = column * g.stride_x - g.padding_x + tap % g.width * g.dilation_x;
        if (at_y < 0 || at_y >= g.in_height || at_x < 0 || at_x >= g.in_width) continue;
        for (int k = 0; k < g.in_channels; k++) {
          const int32_t x = in[((size_t)at_y * g.in_width + at_x) * g.in_channels + k];
          const ${c(weights)} *const row = weights + ((size_t)tap * group_in + k % group_in) * g.out_channels;
          const int first = k / group_in * group_out;
          for (int o = first; o < first + group_out; o++) {
            const int32_t w = row[o];
            const int32_t product = ${looked};
            const int32_t taken = ${taken('o')};
            out[o] += step * product - taken;
          }
        }
      }
    }
}
`;
    if (productBits === 0) return this.#need(name, plain);
    this.gated.add(own);
    this.#need('slices', `#ifdef PRODUCTS_BY_GATES\n${SLICES}#endif\n`);
    const sign = table.signed ? `product[${productBits - 1}]` : '0';
    return this.#need(
      name,
      `#ifndef PRODUCTS_BY_GATES
${plain}#else
${head}  const size_t outputs = (size_t)g.out_height * g.out_width * g.out_channels;
  for (size_t first = 0; first < outputs; first += 64) {
    const int lanes = outputs - first < 64 ? (int)(outputs - first) : 64;
    int y[64], column[64], o[64];
    int64_t terms[64] = {0};
    uint64_t sums[32] = {0};
    for (int n = 0; n < lanes; n++) {
      const size_t position = (first + n) / g.out_channels;
      o[n] = (int)((first + n) % g.out_channels);
      y[n] = (int)(position / g.out_width) * g.stride_y - g.padding_y;
      column[n] = (int)(position % g.out_width) * g.stride_x - g.padding_x;
    }
    for (int tap = 0; tap < g.height * g.width; tap++)
      for (int k = 0; k < group_in; k++) {
        uint8_t ws[64] = {0}, xs[64] = {0};
        uint64_t w_planes[${weightBits}], x_planes[${activationBits}], product[${productBits}], valid = 0;
        for (int n = 0; n < lanes; n++) {
          const int at_y = y[n] + tap / g.width * g.dilation_y, at_x = column[n] + tap % g.width * g.dilation_x;
          if (at_y < 0 || at_y >= g.in_height || at_x < 0 || at_x >= g.in_width) continue;
          const int32_t w = weights[((size_t)tap * group_in + k) * g.out_channels + o[n]];
          const int32_t x = in[((size_t)at_y * g.in_width + at_x) * g.in_channels + o[n] / group_out * group_in + k];
          terms[n] -= ${taken('o[n]')};
          ws[n] = (uint8_t)w;
          xs[n] = (uint8_t)x;
          valid |= (uint64_t)1 << n;
        }
        slice(ws, ${weightBits}, w_planes);
        slice(xs, ${activationBits}, x_planes);
        ${own}_64(w_planes, x_planes, product);
        add_planes(product, ${productBits}, ${sign}, valid, sums);
      }
    for (int n = 0; n < lanes; n++) out[first + n] = (${c(to)})(step * lane(sums, n) + terms[n]);
  }
}
#endif
`,
    );
  }

  /** (count, low, high, a, b, out). */
  add(a: CType, b: CType, to: CType): string {
    const name = `add_${a}_${b}_${to}`;
    return this.#need(
      name,
      `static void ${name}(size_t count, int32_t low, int32_t high, const ${c(a)} *a, const ${c(b)} *b, ${c(to)} *restrict out)
{
  for (size_t n = 0; n < count; n++) out[n] = (${c(to)})limited((int64_t)a[n] + b[n], low, high);
}
`,
    );
  }

  /** (count, low, high, in, out); also where a tensor only gets another shape. */
  limit(from: CType, to: CType): string {
    const name = `limit_${from}_${to}`;
    return this.#need(
      name,
      `static void ${name}(size_t count, int32_t low, int32_t high, const ${c(from)} *restrict in, ${c(to)} *restrict out)
{
  for (size_t n = 0; n < count; n++) out[n] = (${c(to)})limited(in[n], low, high);
}
`,
    );
  }

  /** (window, in, out). */
  maxPool(from: CType, to: CType): string {
    const name = `max_pool_${from}_${to}`;
    const most = `const int64_t value = in[((size_t)at_y * g.in_width + at_x) * g.in_channels + k];
          if (value > result) result = value;`;
    return this.#need(name, pool(name, from, to, '', 'INT64_MIN', most, 'continue;'));
  }

  /** (window, zero, in, out): what padding counts as is the zero point. */
  sumPool(from: CType, to: CType): string {
    const name = `sum_pool_${from}_${to}`;
    const add = 'result += in[((size_t)at_y * g.in_width + at_x) * g.in_channels + k];';
    return this.#need(name, pool(name, from, to, 'int32_t zero, ', '0', add, '{ result += zero; continue; }'));
  }
}

const c = (type: CType): string => cTypes[type].name;

function pool(name: string, from: CType, to: CType, more: string, start: string, tap: string, padded: string): string {
  return `static void ${name}(const struct window *of, ${more}const ${c(from)} *restrict in, ${c(to)} *restrict out)
{
  const struct window g = *of;
  for (int y = 0; y < g.out_height; y++)
    for (int x = 0; x < g.out_width; x++)
      for (int k = 0; k < g.in_channels; k++) {
        int64_t result = ${start};
        for (int n = 0; n < g.height * g.width; n++) {
          const int at_y = y * g.stride_y - g.padding_y + n / g.width, at_x = x * g.stride_x - g.padding_x + n % g.width;
          if (at_y < 0 || at_y >= g.in_height || at_x < 0 || at_x >= g.in_width) ${padded}
          ${tap}
        }
        *out++ = (${c(to)})result;
      }
}
`;
}
