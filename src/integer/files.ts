// A network of integers as files, and back: `network.json`, which says everything but arrays, and the arrays beside it,
// each as .npy (NumPy) and those that a memory is filled with also as .mem ($readmemh: a word of hexadecimal digits a
// line, two's complement). docs/integer-network.md describes every field.
// Invariant: `readIntegerNetwork` of what `integerFiles` wrote is the same network; what is not is refused with the
// place that is wrong.

import { z } from 'zod';
import { type Expression, expressionOf, partsOf } from '../engine/graph/expression.ts';
import { expressionsOf, type Formula } from '../engine/graph/formula.ts';
import { productTable } from '../multiplier/table.ts';
import { UserError } from '../tensor/errors.ts';
import { encodeNpy, npyElements, readNpyArray } from '../tensor/npy.ts';
import { type Shape, sizeOf } from '../tensor/tensor.ts';
import type { IntegerNetwork, IntegerOperation, IntegerTensor } from './network.ts';
import { type ArrayName, arrayNames, type StoredNetwork, storedNetwork } from './schema.ts';

export const NETWORK_FILE = 'network.json';
const FORMAT = 'tram-integer-network';
const VERSION = 1;
/** Elements of the largest array that is read. */
const MOST = 2 ** 28;

type Array1 = Int8Array | Int16Array | Int32Array | Uint8Array | Float32Array;

/** The files of a network, by their paths. */
export function integerFiles(network: IntegerNetwork): Map<string, string | Uint8Array> {
  const files = new Map<string, string | Uint8Array>();
  const stored = (path: string, shape: Shape, data: Array1, bits?: number) => {
    files.set(`${path}.npy`, encodeNpy({ shape, data }));
    if (bits === undefined) return { npy: `${path}.npy`, shape };
    files.set(`${path}.mem`, memoryText(data, bits));
    return { npy: `${path}.npy`, mem: `${path}.mem`, bits, shape };
  };
  const multipliers = network.multipliers.map(({ name, table, exact }) => {
    const { weightBits, activationBits, signed, data } = table;
    const shape = [2 ** weightBits, 2 ** activationBits];
    const bits = weightBits + activationBits + (fitsIn(data, weightBits + activationBits, signed) ? 0 : 1);
    return { name, exact, weightBits, activationBits, signed, table: stored(`multipliers/${name}`, shape, data, bits) };
  });
  const operations = network.operations.map((operation, at) => {
    const place = `operations/${String(at).padStart(3, '0')}_${plainName(operation.label)}_${operation.kind}`;
    const arrays = Object.entries(operation).filter(([, value]) => ArrayBuffer.isView(value)) as [ArrayName, Array1][];
    const files = arrays.map(([name, data]) => {
      const { bits, shape } = arrayFacts(network, operation, name, data);
      return [name, stored(`${place}_${name}`, shape, data, bits)];
    });
    const island =
      operation.kind === 'float'
        ? storedIsland(operation, (n, one) => stored(`${place}_${n}`, one.shape, one.data))
        : {};
    return { ...operation, ...Object.fromEntries(files), ...island };
  });
  const { name, classes, output } = network;
  const tensors = network.tensors.map(({ low, high, ...tensor }) => {
    return { ...tensor, low: Number.isFinite(low) ? low : null, high: Number.isFinite(high) ? high : null };
  });
  const json = { format: FORMAT, version: VERSION, name, classes, output, multipliers, tensors, operations };
  files.set(NETWORK_FILE, `${JSON.stringify(json, null, 1)}\n`);
  return files;
}

/** Words of so many bits in hexadecimal, one a line. */
function memoryText(data: Array1, bits: number): string {
  const digits = Math.ceil(bits / 4);
  const range = 2 ** bits;
  const words = Array.from(data, (value) => (value < 0 ? value + range : value).toString(16).padStart(digits, '0'));
  return `${words.join('\n')}\n`;
}

const fitsIn = (data: Int32Array, bits: number, signed: boolean): boolean => {
  const [low, high] = signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  return data.every((value) => value >= low && value <= high);
};

const plainName = (label: string): string => label.replaceAll(/[^A-Za-z0-9]+/g, '_').slice(0, 60) || 'network';

/** Bits of a word in a memory, and the shape of the array. */
function arrayFacts(network: IntegerNetwork, operation: IntegerOperation, name: ArrayName, data: Array1) {
  if (operation.kind === 'product') {
    const { table } = network.multipliers[operation.multiplier]!;
    if (name === 'weights') return { bits: table.weightBits, shape: operation.weightShape };
  }
  if (operation.kind === 'lookUp') {
    const { low, high } = network.tensors[operation.output]!;
    return {
      bits: Math.ceil(Math.log2(Math.max(high + 1, -low, 2))) + (low < 0 ? 1 : 0),
      shape: [data.length / 256, 256],
    };
  }
  return { bits: name === 'shift' ? 8 : 32, shape: [data.length] };
}

type Island = Extract<IntegerOperation, { kind: 'float' }>;
type Constant = Exclude<Island['operands'][number], number>;

/** An operation of an island: its constants in files, and an expression as the list of its parts. */
function storedIsland({ op, attributes, operands }: Island, store: (name: string, one: Constant) => object) {
  return {
    attributes: op === 'formula' ? storedFormula(attributes as Formula) : attributes,
    operands: operands.map((one, at) => (typeof one === 'number' ? one : store(`constant${at}`, one))),
  };
}

function storedFormula({ name, shape, outputs }: Formula) {
  const parts = partsOf(expressionsOf({ outputs }));
  const number = new Map(parts.map((part, at) => [part, at]));
  return {
    ...{ name, shape },
    parts: parts.map(({ kind, operands, value }) => ({
      kind,
      operands: operands.map((one) => number.get(one)),
      value,
    })),
    outputs: outputs.map(({ of, per }) => ({ of: number.get(of), per })),
  };
}

const formulaSchema = z.strictObject({
  name: z.string(),
  shape: z.array(z.int().positive()),
  parts: z.array(z.strictObject({ kind: z.string(), operands: z.array(z.int().nonnegative()), value: z.number() })),
  outputs: z.array(z.strictObject({ of: z.int().nonnegative(), per: z.enum(['element', 'row']) })),
});

function readFormula(json: unknown): Formula {
  const { name, shape, parts, outputs } = formulaSchema.parse(json);
  const made: Expression[] = [];
  for (const { kind, operands, value } of parts) {
    made.push(
      expressionOf(
        kind,
        operands.map((at) => made[at]!),
        value,
      ),
    );
  }
  return { name, shape, outputs: outputs.map(({ of, per }) => ({ of: made[of]!, per })) };
}

/** What reads a file of the network's folder by its path in it. */
export type ReadFile = (path: string) => Uint8Array;

/** The network of a folder. Throws a UserError that says which file or field is wrong. */
export function readIntegerNetwork(read: ReadFile): IntegerNetwork {
  const stored = parsed(read(NETWORK_FILE));
  const arrayOf = ({ npy, shape }: { readonly npy: string; readonly shape: Shape }) => {
    const array = readNpyArray(read(npy), npy, { most: MOST, elements: 'integers or float32', what: 'elements' });
    if (array.count !== sizeOf(shape)) {
      throw new UserError(`${npy}: ${array.count} elements; ${NETWORK_FILE} says ${sizeOf(shape)}`);
    }
    return { array, at: npyElements(array) };
  };
  const made = {
    i2: (count: number) => new Int16Array(count),
    i4: (count: number) => new Int32Array(count),
    u1: (count: number) => new Uint8Array(count),
    f4: (count: number) => new Float32Array(count),
  };
  const numbers = (one: { readonly npy: string; readonly shape: Shape }) => {
    const { array, at } = arrayOf(one);
    const make = made[array.type as keyof typeof made];
    if (!make) throw new UserError(`${one.npy}: elements of type ${array.type}; i2, i4, u1 or f4 were expected`);
    return make(array.count).map((_, position) => at(position));
  };
  const operations = stored.operations.map((operation) => {
    const arrays = arrayNames
      .filter((name) => typeof (operation as Partial<Record<ArrayName, unknown>>)[name] === 'object')
      .map((name) => [name, numbers((operation as never)[name])] as const);
    if (operation.kind !== 'float') return { ...operation, ...Object.fromEntries(arrays) };
    const { op, attributes, operands } = operation;
    return {
      ...operation,
      attributes: op === 'formula' ? readFormula(attributes) : attributes,
      operands: operands.map((one) => (typeof one === 'number' ? one : { shape: one.shape, data: numbers(one) })),
    };
  }) as unknown as IntegerOperation[];
  const { name, classes, output } = stored;
  const tensors: IntegerTensor[] = stored.tensors.map(({ low, high, ...tensor }) => {
    return { ...tensor, low: low ?? Number.NEGATIVE_INFINITY, high: high ?? Number.POSITIVE_INFINITY };
  });
  const multipliers = stored.multipliers.map(({ name, exact, weightBits, activationBits, signed, table }) => {
    const data = Int32Array.from(numbers(table));
    return { name, exact, table: productTable(weightBits, activationBits, signed, data) };
  });
  const network = { name, classes, output, multipliers, tensors, operations };
  checkNumbers(network);
  return network;
}

function parsed(bytes: Uint8Array): StoredNetwork {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new UserError(`${NETWORK_FILE} is not valid JSON: ${(error as Error).message}`);
  }
  const found = storedNetwork.safeParse(json);
  if (found.success) return found.data;
  const [issue] = found.error.issues;
  throw new UserError(
    `${NETWORK_FILE}: ${issue!.path.join('.')}: ${issue!.message}; was it written by another version?`,
  );
}

/** Every number of a tensor or multiplier names one, and tensors are made before they are read. */
function checkNumbers({ tensors, operations, multipliers, output }: IntegerNetwork): void {
  const there = new Set([0]);
  const fail = (what: string) => {
    throw new UserError(`${NETWORK_FILE}: ${what}`);
  };
  for (const { label, kind, inputs, output: made, ...operation } of operations) {
    const early = inputs.find((number) => !there.has(number));
    if (early !== undefined) fail(`${label} ${kind} reads the tensor ${early}, which nothing has made before it`);
    if (made >= tensors.length || there.has(made))
      fail(`${label} ${kind} makes the tensor ${made} of ${tensors.length}`);
    if ('multiplier' in operation && typeof operation.multiplier === 'number' && !multipliers[operation.multiplier]) {
      fail(`${label} has the multiplier ${operation.multiplier} of ${multipliers.length}`);
    }
    there.add(made);
  }
  if (!there.has(output)) fail(`nothing makes the output, tensor ${output}`);
}
