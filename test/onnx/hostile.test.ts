// What is no network that can be read: files that are damaged or made to do harm, and graphs with what is not
// supported. Each is refused in one line that names the file, and the node where there is one.

import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadModelFile } from '../../src/flow/run/model-file.ts';
import type { Draft } from '../../src/onnx/messages.ts';
import type { NodeProto, TensorProto } from '../../src/onnx/schema.ts';
import { UserError } from '../../src/tensor/errors.ts';
import { floats, folder, type Graphed, modelAt, modelProto, node, wholes, written } from './graphs.ts';
import { farthest, logitsOf } from './logits.ts';

const place = folder();
afterAll(() => rmSync(place, { recursive: true }));

const weight = floats(
  'w',
  [4, 20],
  Array.from({ length: 80 }, (_, k) => Math.cos(k)),
);
const flatten = node('Flatten', ['x'], ['f']);
const gemm = node('Gemm', ['f', 'w'], ['y'], { transB: 1 });
const whole: Graphed = { nodes: [flatten, gemm], constants: [weight] };

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message;
  }
  return 'nothing is refused';
}

const refused = (graph: Partial<Graphed>): string =>
  refusal(() => modelAt(written(place, modelProto({ ...whole, ...graph }))));

test('the graph that the others are made of is read', () => {
  expect(modelAt(written(place, modelProto(whole)))).toMatchObject({ classes: 4, card: { classifier: 'Gemm_y' } });
});

describe('a file', () => {
  test('that is cut off anywhere, or changed in any byte, is read or refused in one line', () => {
    const bytes = readFileSync(written(place, modelProto(whole)));
    const path = join(place, 'damaged.onnx');
    let fewer = 0;
    for (let length = 0; length < bytes.length; length += 3) {
      writeFileSync(path, bytes.subarray(0, length));
      if (refusal(() => modelAt(path)) !== 'nothing is refused') fewer++;
    }
    expect(fewer).toBe(Math.ceil(bytes.length / 3));
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1 << (at % 8);
      writeFileSync(path, changed);
      // Whatever is thrown is a UserError: `refusal` asks for that.
      refusal(() => modelAt(path));
    }
  });

  test('with a circle, a value of two, a value of nobody, or no single input and output is refused', () => {
    const circle = [node('Relu', ['b'], ['a']), node('Relu', ['a'], ['b']), flatten, gemm];
    expect(refused({ nodes: circle })).toMatch(/net\.onnx: node 'Relu_a' \(Relu\) stands in a circle of nodes/);
    expect(refused({ nodes: [flatten, gemm, node('Relu', ['f'], ['y'])] })).toMatch(/two give the value 'y'/);
    expect(refused({ nodes: [node('Relu', ['z'], ['f']), gemm] })).toMatch(/reads 'z', which nothing gives/);
    expect(refused({ output: 'z' })).toMatch(/its output is given by none of its nodes/);
    expect(refused({ constants: [] })).toMatch(/reads 'w', which nothing gives/);
    expect(refused({ constants: [weight, weight] })).toMatch(/the initialiser 'w' stands twice/);
    const draft = modelProto(whole);
    const twice = { ...draft, graph: { ...draft.graph, output: [{ name: 'y' }, { name: 'f' }] } };
    expect(refusal(() => modelAt(written(place, twice)))).toMatch(
      /1 inputs \(x\) and 2 outputs \(y, f\); expected one/,
    );
  });

  test('of another opset, of functions, or of whole numbers is refused with what to do', () => {
    expect(refused({ opset: 6 })).toMatch(
      /operators are of opset 6; 7 to 22 are read: export it with opset_version=17/,
    );
    expect(refused({ opset: 99 })).toMatch(/opset 99/);
    const draft = modelProto(whole);
    const input = { name: 'x', type: { tensorType: { elemType: 7, shape: { dim: [] } } } };
    const graph = { ...draft.graph, input: [input] };
    expect(refusal(() => modelAt(written(place, { ...draft, graph })))).toMatch(
      /input 'x' is of int64; expected floats/,
    );
  });

  test('with weights of the wrong size, not finite shapes, or whole numbers for weights is refused', () => {
    const with1 = (tensor: Draft<TensorProto>) => refused({ constants: [{ ...weight, ...tensor }] });
    expect(with1({ rawData: new Uint8Array(7) })).toMatch(/tensor 'w': 7 bytes for the shape \[4, 20\]: expected 320/);
    expect(with1({ dims: [2 ** 40, 2 ** 40] })).toMatch(/tensor 'w': .*expected/);
    expect(with1({ dims: [-4, -20] })).toMatch(/tensor 'w': .*expected extents of 0 and more/);
    expect(refused({ constants: [{ ...wholes('w', Array(80).fill(1)), dims: [4, 20] }] })).toMatch(
      /node 'Gemm_y' \(Gemm\): Gemm_y\.weight is of whole numbers; expected floats/,
    );
    expect(with1({ dims: [5, 16] })).toMatch(/node 'Gemm_y' \(Gemm\): its weights are for 16 features, .*\[2, 20\]/);
  });

  test('that makes much of little is refused before it is made', () => {
    const huge = wholes('huge', [2 ** 30, 2 ** 10]);
    const filled = [
      node('ConstantOfShape', ['huge'], ['c']),
      node('Mul', ['x', 'c'], ['d']),
      node('Flatten', ['d'], ['f']),
      gemm,
    ];
    expect(refused({ nodes: filled, constants: [weight, huge] })).toMatch(
      /ConstantOfShape\): a constant of shape .*expected at most/,
    );
    const padded = [node('Pad', ['x', 'pads'], ['d']), node('Flatten', ['d'], ['f']), gemm];
    const pads = wholes('pads', [0, 0, 0, 0, 0, 0, 2 ** 20, 2 ** 20]);
    expect(refused({ nodes: padded, constants: [weight, pads] })).toMatch(
      /\(Pad\): a value of shape .*elements of an image/,
    );
    const endless = [
      node('Range', ['from', 'to', 'step'], ['c']),
      node('Add', ['x', 'c'], ['d']),
      node('Flatten', ['d'], ['f']),
      gemm,
    ];
    const bounds = [0, 9, 0].map((value, k) => ({ ...wholes(['from', 'to', 'step'][k]!, [value]), dims: [] }));
    expect(refused({ nodes: endless, constants: [weight, ...bounds] })).toMatch(/\(Range\): a range from 0 to 9 by 0/);
  });
});

describe('data in other files', () => {
  const bytes = weight.rawData!;
  const external = (location: string, more: readonly (readonly [string, string])[] = []): Graphed => ({
    ...whole,
    constants: [
      {
        ...{ name: 'w', dims: [4, 20], dataType: 1, dataLocation: 1 },
        externalData: [['location', location] as const, ...more].map(([key, value]) => ({ key, value })),
      },
    ],
  });
  const inside = join(place, 'model');
  mkdirSync(inside);
  writeFileSync(join(inside, 'w.bin'), Buffer.concat([Buffer.alloc(16), bytes]));
  writeFileSync(join(place, 'secret.bin'), bytes);
  symlinkSync(join(place, 'secret.bin'), join(inside, 'link.bin'));
  const read = (graph: Graphed) => () => modelAt(written(inside, modelProto(graph)));

  test('beside the model are read, and are part of its hash', async () => {
    const there = external('w.bin', [
      ['offset', '16'],
      ['length', '320'],
    ]);
    const { logits } = await logitsOf(read(there)(), [4, 5, 1], 2);
    const own = await logitsOf(modelAt(written(place, modelProto(whole))), [4, 5, 1], 2);
    expect(farthest(logits, own.logits)).toBe(0);
    const path = written(inside, modelProto(there));
    const known = await loadModelFile(path);
    await loadModelFile(path, known);
    writeFileSync(join(inside, 'w.bin'), Buffer.concat([Buffer.alloc(17), bytes]).subarray(0, 336));
    await expect(loadModelFile(path, known)).rejects.toThrow(
      /net\.onnx is not as it was when the run was made with it/,
    );
  });

  test.each([
    ['../secret.bin', /the data of the tensor 'w' are at '\.\.\/secret\.bin'; expected a file beside the model/],
    ['/etc/hostname', /are at '\/etc\/hostname'; expected a file beside the model/],
    ['', /are at ''; expected a file/],
    ['.', /are at '\.'; expected a file/],
    ['a/../../secret.bin', /expected a file beside the model/],
    ['link.bin', /are at 'link\.bin', a link that leads out of the folder/],
    ['none.bin', /are in 'none\.bin', which is not there; put it beside the model/],
  ])('at %j are not', (location, message) => {
    expect(refusal(read(external(location)))).toMatch(message);
  });

  test('that are too few, or at no place, are refused', () => {
    expect(refusal(read(external('w.bin', [['offset', '300']])))).toMatch(/36 bytes for the shape|36 bytes/);
    expect(refusal(read(external('w.bin', [['offset', '-1']])))).toMatch(/are bytes -1 to/);
    expect(refusal(read(external('w.bin', [['length', '9e9']])))).toMatch(/which has 336/);
    expect(refusal(read(external('w.bin', [['offset', 'x']])))).toMatch(/are bytes NaN/);
  });
});

describe('what is not supported', () => {
  const behind = (...nodes: readonly Draft<NodeProto>[]) => [...nodes, node('Flatten', ['t'], ['f']), gemm];
  test.each([
    [
      node('Reluu', ['x'], ['t']),
      /node 'Reluu_t' \(Reluu\): the operator is not supported \(near: Relu\); docs\/onnx\.md/,
    ],
    [node('If', ['x'], ['t']), /\(If\): the operator is not supported/],
    [node('QuantizeLinear', ['x', 's'], ['t']), /it is of a quantised network; export the float network/],
    [
      { ...node('Gelu', ['x'], ['t']), domain: 'com.microsoft' },
      /operators of the domain com\.microsoft are not supported/,
    ],
    [node('Relu', ['x'], ['t'], { alpha: 2 }), /\(Relu\): its attribute alpha is not supported/],
    [node('Conv', ['x', 'k'], ['t'], { dilations: [2] }), /\(Conv\): its dilations is \[2\]; expected two numbers/],
    [node('Conv', ['x', 'x'], ['t']), /\(Conv\): its weights is computed from the image; expected a constant/],
    [node('Conv', ['x', 'k'], ['t'], { group: 3 }), /its weights are for 3 channels, its input has 1/],
    [
      node('MaxPool', ['x'], ['t'], { kernel_shape: [2, 2], dilations: [2, 2] }),
      /dilations is \[2,2\]; expected \[1,1\]/,
    ],
    [node('Pad', ['x', 'p'], ['t'], { mode: 'reflect' }), /mode is "reflect"; expected constant/],
    [node('Softmax', ['x'], ['t'], { axis: 7 }), /axis 7 of 4; expected -4 to 3/],
    [node('Slice', ['x', 'from', 'to', 'axis', 'step'], ['t']), /its step is 2; expected 1/],
    [node('Slice', ['x', 'zero', 'one', 'zero'], ['t']), /it takes some of the images/],
    [node('Transpose', ['x'], ['t'], { perm: [0, 1, 1, 2] }), /the axes \[0, 1, 1, 2\] of .*expected each axis once/],
    [node('Pow', ['x', 's'], ['t']), /the power 7; expected 1, 2, 3, ½ or −1/],
    [node('Reshape', ['x', 'from'], ['t']), /expected as many elements/],
  ])('%# is refused by its node', (one, message) => {
    const constants = [
      weight,
      floats('s', [], [7]),
      floats('k', [1, 1, 1, 1], [1]),
      wholes('p', [0, 0, 1, 1, 0, 0, 1, 1]),
      ...Object.entries({ from: [0], to: [5], axis: [3], step: [2], zero: [0], one: [1] }).map(([name, list]) =>
        wholes(name, list),
      ),
    ];
    // For two images, so that taking one of them is taking some.
    const image = ['n', 1, 4, 5];
    expect(refused({ nodes: behind(one), constants, image })).toMatch(message);
  });

  test('an output of an operator that only training needs is refused where it is read', () => {
    const dropout = node('Dropout', ['x'], ['d', 'mask']);
    expect(
      modelAt(written(place, modelProto({ ...whole, nodes: behind(node('Dropout', ['x'], ['t', 'mask'])) }))),
    ).toBeDefined();
    expect(refused({ nodes: behind(dropout, node('Mul', ['d', 'mask'], ['t'])) })).toMatch(
      /it reads 'mask', an output that/,
    );
  });

  test('a network without layers, or with a name that no terminal should see, is refused or named in another way', async () => {
    const { model } = await loadModelFile(
      written(place, modelProto({ ...whole, nodes: [node('Flatten', ['x'], ['y'])] })),
    );
    await expect(async () => logitsOf(model as Parameters<typeof logitsOf>[0], [4, 5, 1])).rejects.toThrow(
      /no layer that multiplies/,
    );
    const hostile = { ...gemm, name: 'a b,*\u001b[31m#/../x' };
    const { layers } = await logitsOf(
      modelAt(written(place, modelProto({ ...whole, nodes: [flatten, hostile] }))),
      [4, 5, 1],
    );
    expect(layers.map(({ name }) => name)).toEqual(['a_b_[31m_/../x']);
  });
});
