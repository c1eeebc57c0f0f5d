// A network of integers as one C99 file without allocation: a function of an image, which calls one function after the
// other on static arrays. Which functions there are: functions.ts; where tensors are: memory.ts.
// Invariant: names of layers and models stand in identifiers and comments only as identifiers.ts and text.ts let them.

import { type Box, simplified } from '../../engine/graph/movement.ts';
import { convGeometryOf } from '../../engine/graph/window.ts';
import type {
  IntegerNetwork,
  IntegerOperation,
  MoveOperation,
  PoolWindow,
  ProductOperation,
  RequantiseOperation,
} from '../../integer/network.ts';
import { elementType } from '../../netlist/formats/c.ts';
import type { Network } from '../../netlist/network.ts';
import { multiplierPorts } from '../../netlist/ports.ts';
import { invariant } from '../../tensor/errors.ts';
import { type Shape, sizeOf } from '../../tensor/tensor.ts';
import { Identifiers } from '../identifiers.ts';
import { CFunctions } from './functions.ts';
import { type CType, cTypes, type Memory, planMemory, typeFor } from './memory.ts';
import { cArray, cInteger, inComment } from './text.ts';

export interface CNetwork {
  /** The network's identifier. */
  readonly name: string;
  /** The header, and the C file that includes it and those of the multipliers. */
  readonly header: string;
  readonly source: string;
  readonly memory: Memory;
}

/** What C is made of a network that `checkForC` takes; `netlists` by the names of multipliers. */
export function networkAsC(network: IntegerNetwork, name: string, netlists: ReadonlyMap<string, Network>): CNetwork {
  const memory = planMemory(network, typesOfTensors(network));
  const writer = new NetworkWriter(network, name, netlists, memory);
  return { name, header: headerOf(network, name, memory), source: writer.source(), memory };
}

/** Sums also hold every partial sum, so they have 32 bits always. */
export function typesOfTensors({ tensors, operations }: IntegerNetwork): CType[] {
  const sums = new Set(operations.flatMap(({ kind, output }) => (kind === 'product' ? [output] : [])));
  return tensors.map(({ name, low, high }, number) => {
    const type = sums.has(number) ? 'i32' : typeFor(low, high);
    invariant(type, `${name} has more than 32 bits`);
    return type;
  });
}

/** Height, width and channels of an image, or of vectors one below the other. */
function extents(shape: Shape): readonly [number, number, number] {
  if (shape.length === 3) return shape as unknown as [number, number, number];
  const channels = shape.at(-1) ?? 1;
  return [sizeOf(shape) / channels, 1, channels];
}

class NetworkWriter {
  readonly #network: IntegerNetwork;
  readonly #name: string;
  readonly #netlists: ReadonlyMap<string, Network>;
  readonly #memory: Memory;
  readonly #functions = new CFunctions();
  readonly #identifiers = new Identifiers();
  readonly #constants: string[] = [];
  readonly #calls: string[] = [];

  constructor(network: IntegerNetwork, name: string, netlists: ReadonlyMap<string, Network>, memory: Memory) {
    this.#network = network;
    this.#name = name;
    this.#netlists = netlists;
    this.#memory = memory;
  }

  source(): string {
    const { tensors, operations, output, classes } = this.#network;
    for (const operation of operations) {
      const { name, shape } = tensors[operation.output]!;
      this.#calls.push(`  /* ${inComment(name)} [${shape.join(', ')}] */`, ...this.#callOf(operation));
      this.#calls.push(`  NETWORK_TENSOR(${operation.output}, ${this.#at(operation.output)});`);
    }
    invariant(sizeOf(tensors[output]!.shape) === classes, `logits of the shape ${tensors[output]!.shape}`);
    const include = (name: string) => `#include "${name}.h"\n`;
    const { looked, gated } = this.#functions;
    const gatesOnly = [...gated].filter((name) => !looked.has(name));
    const arrays = [...this.#memory.sizes].map(([type, size]) => `static ${cTypes[type].name} ${type}[${size}];`);
    return [
      `/* ${inComment(this.#network.name)} in integers, C99 without allocation. Not for two threads at once: its tensors are static.\n`,
      '   Products are looked up, or with -DPRODUCTS_BY_GATES computed by the gates of the multipliers that have some. */\n',
      include(this.#name),
      '#include <stddef.h>\n',
      ...[...looked].map(include),
      gatesOnly.length > 0 ? `#ifdef PRODUCTS_BY_GATES\n${gatesOnly.map(include).join('')}#endif\n` : '',
      '\n/* Called after each operation with the number of its tensor and its elements; a test defines it. */\n',
      '#ifndef NETWORK_TENSOR\n#define NETWORK_TENSOR(number, elements) ((void)0)\n#endif\n\n',
      this.#functions.text,
      '\n/* All tensors, by their types. */\n',
      `${arrays.join('\n')}\n\n`,
      ...this.#constants,
      `\nint ${this.#name}_classify(const uint8_t image[${sizeOf(tensors[0]!.shape)}], int32_t logits[${classes}])\n{\n`,
      '  int best = 0;\n',
      `${this.#calls.join('\n')}\n`,
      `  for (int n = 0; n < ${classes}; n++) {\n    logits[n] = ${this.#at(output)}[n];\n`,
      '    if (logits[n] > logits[best]) best = n;\n  }\n  return best;\n}\n',
    ].join('');
  }

  /** The elements of a tensor. */
  #at(number: number): string {
    const place = this.#memory.places.get(number);
    return place ? `(${place.type} + ${place.offset})` : 'image';
  }

  #type(number: number): CType {
    return this.#memory.places.get(number)?.type ?? 'u8';
  }

  /** An array of constants under a name of its own. */
  #array(label: string, type: string, values: Iterable<number>): string {
    const name = this.#identifiers.add(label);
    this.#constants.push(cArray(type, name, values));
    return name;
  }

  #struct(label: string, type: string, fields: string): string {
    const name = this.#identifiers.add(label);
    this.#constants.push(`static const struct ${type} ${name} = {${fields}};\n\n`);
    return `&${name}`;
  }

  #callOf(operation: IntegerOperation): string[] {
    const { tensors } = this.#network;
    const { inputs, output } = operation;
    const [from, to] = [this.#type(inputs[0]!), this.#type(output)];
    const places = `${this.#at(inputs[0]!)}, ${this.#at(output)}`;
    const shape = tensors[output]!.shape;
    const count = sizeOf(shape);
    switch (operation.kind) {
      case 'lookUp': {
        const channels = operation.tables.length / 256;
        const tables = this.#array(`k_${operation.label}_codes`, cTypes[to].name, operation.tables);
        return [`  ${this.#functions.lookUp(from, to)}(${count / channels}, ${channels}, ${tables}, ${places});`];
      }
      case 'product':
        return [this.#product(operation, from, to, places)];
      case 'requantise':
        return [`  ${this.#functions.requantise(from, to)}(${count}, ${this.#requantisation(operation)}, ${places});`];
      case 'add': {
        const [a, b] = [this.#type(inputs[0]!), this.#type(inputs[1]!)];
        const limits = `${cInteger(operation.low)}, ${cInteger(operation.high)}`;
        const operands = inputs.map((input) => this.#at(input)).join(', ');
        return [`  ${this.#functions.add(a, b, to)}(${count}, ${limits}, ${operands}, ${this.#at(output)});`];
      }
      case 'limit':
        return [this.#limit(operation.low, operation.high, from, to, count, places)];
      case 'reshape': {
        const { low, high } = tensors[inputs[0]!]!;
        return [this.#limit(low, high, from, to, count, places)];
      }
      case 'maxPool':
        return [`  ${this.#functions.maxPool(from, to)}(${this.#pool(operation, inputs[0]!, shape)}, ${places});`];
      case 'sumPool': {
        const { zero } = tensors[inputs[0]!]!;
        const window = this.#pool(operation, inputs[0]!, shape);
        return [`  ${this.#functions.sumPool(from, to)}(${window}, ${zero}, ${places});`];
      }
      case 'move':
        return this.#move(operation, count);
      default:
        invariant(false, `${operation.kind} in a network of integers`);
    }
  }

  #limit(low: number, high: number, from: CType, to: CType, count: number, places: string): string {
    return `  ${this.#functions.limit(from, to)}(${count}, ${cInteger(low)}, ${cInteger(high)}, ${places});`;
  }

  #product(operation: ProductOperation, from: CType, to: CType, places: string): string {
    const { label, weights, weightShape, geometry, step, activationZero, weightZero, zeroRow } = operation;
    const { tensors, multipliers } = this.#network;
    const { name, table, exact } = multipliers[operation.multiplier]!;
    const netlist = this.#netlists.get(name);
    const productBits = netlist ? multiplierPorts(netlist).product.length : 0;
    const type = elementType(weights);
    const short = (Object.keys(cTypes) as CType[]).find((one) => cTypes[one].name === type)!;
    const call = this.#functions.product({ name, table, exact, productBits }, short, from, to);
    const stored = this.#array(`k_${label}_weights`, type, weights);
    const zeros = this.#array(`k_${label}_weight_zero`, 'int32_t', weightZero);
    const row = zeroRow ? this.#array(`k_${label}_zero_row`, 'int32_t', zeroRow) : 'NULL';
    const { stride, padding, dilation, groups } = convGeometryOf(geometry);
    const window = windowText(tensors[operation.inputs[0]!]!.shape, tensors[operation.output]!.shape, {
      ...{ size: [weightShape[0]!, weightShape[1]!], stride, padding, dilation, groups },
    });
    const constants = this.#struct(
      `k_${label}_constants`,
      'product',
      `\n  ${window},\n  ${step}, ${activationZero}, ${zeros}, ${row},\n`,
    );
    return `  ${call}(${constants}, ${stored}, ${places});`;
  }

  #requantisation({ label, fraction, bias, multiplier, shift, offset, low, high }: RequantiseOperation): string {
    const arrays = [
      this.#array(`k_${label}_bias`, 'int32_t', bias),
      this.#array(`k_${label}_multiplier`, 'int32_t', multiplier),
      this.#array(`k_${label}_shift`, 'uint8_t', shift),
      this.#array(`k_${label}_offset`, 'int32_t', offset),
    ];
    const fields = `${multiplier.length}, ${fraction}, ${arrays.join(', ')}, ${cInteger(low)}, ${cInteger(high)}`;
    return this.#struct(`k_${label}_requantise`, 'requantisation', fields);
  }

  #pool({ label, size, stride, padding }: PoolWindow & { readonly label: string }, input: number, shape: Shape) {
    const { tensors } = this.#network;
    const window = windowText(tensors[input]!.shape, shape, { size, stride, padding, dilation: [1, 1], groups: 1 });
    return this.#struct(`k_${label}_pool`, 'window', window.slice(1, -1));
  }

  /** Loops over each box; what no box covers is the zero point. */
  #move({ movement, inputs, output }: MoveOperation, count: number): string[] {
    const out = this.#at(output);
    const { boxes } = movement;
    const covered = boxes.reduce((sum, box) => sum + sizeOf(box.extents), 0) === count;
    const { zero } = this.#network.tensors[output]!;
    const empty = covered ? [] : [`  for (size_t n = 0; n < ${count}; n++) ${out}[n] = ${zero};`];
    return [...empty, ...boxes.flatMap((box) => boxLoops(simplified(box), this.#at(inputs[box.input]!), out))];
  }
}

function boxLoops({ extents, from, to }: Box, source: string, target: string): string[] {
  const at = ({ first, strides }: Box['from']) =>
    [first, ...strides.map((stride, axis) => `n${axis} * ${stride}`)].join(' + ');
  const loops = extents.map((extent, axis) => {
    const indent = '  '.repeat(axis + 1);
    return `${indent}for (int n${axis} = 0; n${axis} < ${extent}; n${axis}++)`;
  });
  return [...loops, `${'  '.repeat(extents.length + 1)}${target}[${at(to)}] = ${source}[${at(from)}];`];
}

interface WindowFacts extends Omit<PoolWindow, 'ceil'> {
  readonly dilation: readonly [number, number];
  readonly groups: number;
}

function windowText(from: Shape, to: Shape, { size, stride, padding, dilation, groups }: WindowFacts): string {
  return `{${[...extents(from), ...extents(to), ...size, ...stride, ...padding, ...dilation, groups].join(', ')}}`;
}

function headerOf({ tensors, classes, name: model }: IntegerNetwork, name: string, { bytes }: Memory): string {
  const [height, width, channels] = extents(tensors[0]!.shape);
  const upper = name.toUpperCase();
  return `/* ${inComment(model)}: a network of integers. */
#ifndef ${upper}_NETWORK_H
#define ${upper}_NETWORK_H
#include <stdint.h>

#define ${upper}_HEIGHT ${height}
#define ${upper}_WIDTH ${width}
#define ${upper}_CHANNELS ${channels}
#define ${upper}_CLASSES ${classes}
/* Of its tensors, all static. */
#define ${upper}_STATE_BYTES ${bytes}

#ifdef __cplusplus
extern "C" {
#endif

/* The class of an image (rows of pixels, the channels of each together), and the integers that it is the largest of. */
int ${name}_classify(const uint8_t image[${height * width * channels}], int32_t logits[${classes}]);

#ifdef __cplusplus
}
#endif

#endif
`;
}
