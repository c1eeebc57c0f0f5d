// What `network.json` holds, as a schema: the format of network.ts with arrays as names of files. Read strictly: a
// field that is not described is an error, since whoever wrote it meant something by it.

import { z } from 'zod';

/** Fields of operations that are arrays. */
export const arrayNames = [
  ...(['tables', 'weights', 'weightZero', 'zeroRow'] as const),
  ...(['bias', 'multiplier', 'shift', 'offset'] as const),
] as const;
export type ArrayName = (typeof arrayNames)[number];

const number = z.int().nonnegative();
const shape = z.array(z.int().positive());
const pair = z.tuple([number, number]);
const range = z.tuple([z.int(), z.int()]);

const filePath = z
  .string()
  .regex(/^[A-Za-z0-9_]+(\/[A-Za-z0-9_]+)*\.(npy|mem)$/, 'expected the path of a file beside it');

/** An array in files; `bits`: of a word of the .mem file. */
const array = z.strictObject({
  npy: filePath,
  mem: filePath.exactOptional(),
  bits: z.int().positive().exactOptional(),
  shape,
});

const between = { inputs: z.array(number).min(1), output: number, label: z.string() };
const limits = { low: z.int(), high: z.int() };
const window = { size: pair, stride: pair, padding: pair, ceil: z.boolean() };
const side = z.strictObject({ first: number, strides: z.array(z.int()) });

const movement = z.strictObject({
  name: z.string(),
  shape,
  boxes: z.array(z.strictObject({ input: number, extents: shape, from: side, to: side })),
});

const operation = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('lookUp'), ...between, tables: array }),
  z.strictObject({
    ...{ kind: z.literal('product'), ...between, layer: z.string(), layerKind: z.enum(['convolution', 'linear']) },
    geometry: z.strictObject({ stride: pair, padding: pair, dilation: pair, groups: z.int().positive() }),
    ...{ weights: array, weightShape: shape, step: z.union([z.literal(1), z.literal(2)]), weightZero: array },
    ...{ activationZero: z.int(), zeroRow: array.exactOptional(), multiplier: number },
    accumulators: z.strictObject({ terms: range, products: range }),
  }),
  z.strictObject({
    ...{ kind: z.literal('requantise'), ...between, fraction: number },
    ...{ bias: array, multiplier: array, shift: array, offset: array, ...limits },
  }),
  z.strictObject({ kind: z.literal('add'), ...between, ...limits }),
  z.strictObject({ kind: z.literal('limit'), ...between, ...limits }),
  z.strictObject({ kind: z.literal('maxPool'), ...between, ...window }),
  z.strictObject({ kind: z.literal('sumPool'), ...between, ...window }),
  z.strictObject({ kind: z.literal('move'), ...between, movement }),
  z.strictObject({ kind: z.literal('reshape'), ...between }),
  z.strictObject({ kind: z.literal('dequantise'), ...between }),
  z.strictObject({ kind: z.literal('quantise'), ...between }),
  z.strictObject({
    ...{ kind: z.literal('float'), ...between, op: z.string(), attributes: z.record(z.string(), z.unknown()) },
    operands: z.array(z.union([number, array])),
  }),
]);

export const storedNetwork = z.strictObject({
  format: z.literal('tram-integer-network'),
  version: z.literal(1),
  name: z.string(),
  classes: z.int().positive(),
  output: number,
  multipliers: z.array(
    z.strictObject({
      ...{ name: z.string().regex(/^[A-Za-z][A-Za-z0-9_]*$/), exact: z.boolean() },
      ...{ weightBits: z.int().min(2), activationBits: z.int().min(2), signed: z.boolean(), table: array },
    }),
  ),
  tensors: z.array(
    z.strictObject({
      ...{ name: z.string(), form: z.enum(['pixels', 'codes', 'sums', 'fixed', 'float']), shape },
      ...{ scale: z.array(z.number().positive()).min(1), zero: z.int() },
      ...{ low: z.number().nullable(), high: z.number().nullable() },
    }),
  ),
  operations: z.array(operation),
});
export type StoredNetwork = z.output<typeof storedNetwork>;
