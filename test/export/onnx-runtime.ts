// ONNX Runtime in WebAssembly, as the tests run exported networks with it, and `Quant` of QONNX as a function of
// standard operators, written after the description of IntQuant, version 1, in the documentation of QONNX
// (github.com/fastmachinelearning/qonnx) and not after what our exporter makes.

import { env, InferenceSession, Tensor } from 'onnxruntime-web';
import { nodeOf } from '../../src/export/onnx/graph.ts';
import type { Draft } from '../../src/onnx/messages.ts';
import { type FunctionProto, readModel, writeModel } from '../../src/onnx/schema.ts';
import { elementTypes, writeTensor } from '../../src/onnx/tensors.ts';
import type { Shape } from '../../src/tensor/tensor.ts';

env.wasm.numThreads = 1;
env.logLevel = 'error';

export interface Pixels {
  readonly count: number;
  readonly pixels: Uint8Array;
  /** Of one image, [1, H, W, C]. */
  readonly shape: Shape;
}

/** [N, H, W, C] to [N, C, H, W]. */
function channelsFirst({ count, pixels, shape }: Pixels): Uint8Array {
  const [, h, w, c] = shape as [number, number, number, number];
  return Uint8Array.from({ length: pixels.length }, (_, at) => {
    const [x, y, channel] = [at % w, Math.floor(at / w) % h, Math.floor(at / w / h) % c];
    const image = Math.floor(at / (w * h * c));
    expectIn(image, count);
    return pixels[((image * h + y) * w + x) * c + channel]!;
  });
}

function expectIn(image: number, count: number): void {
  if (image >= count) throw new Error('more pixels than images');
}

/** The logits of images, all at once, or one after the other where the network takes one. */
export async function runOnnx(bytes: Uint8Array, images: Pixels): Promise<Float32Array> {
  const [, h, w, c] = images.shape as [number, number, number, number];
  const session = await InferenceSession.create(bytes);
  const raw = channelsFirst(images);
  const [input] = session.inputMetadata as unknown as [{ type: string; shape: readonly (number | string)[] }];
  const data = input.type === 'uint8' ? raw : Float32Array.from(raw);
  const atOnce = input.shape[0] === 1 ? 1 : images.count;
  const logits: number[] = [];
  for (let first = 0; first < images.count; first += atOnce) {
    const part = data.slice(first * h * w * c, (first + atOnce) * h * w * c);
    const { logits: made } = await session.run({
      images: new Tensor(input.type as 'uint8', part as Uint8Array, [atOnce, c, h, w]),
    });
    logits.push(...(made!.data as Float32Array));
  }
  await session.release();
  return Float32Array.from(logits);
}

const scalar = (value: number) => ({ value: { tensor: writeTensor('', 'FLOAT', [], [value]) } });

/** y = (round(limit(x/scale + zero)) − zero)·scale; the limits are those of `bits` bits, signed or not. */
function quant(operators: number): Draft<FunctionProto> {
  const nodes = [
    nodeOf('Constant', [], ['signed'], { value_int: { of: 'signed', type: 'INT' } }),
    nodeOf('Cast', ['signed'], ['sign'], { to: elementTypes.FLOAT }),
    nodeOf('Constant', [], ['one'], scalar(1)),
    nodeOf('Constant', [], ['two'], scalar(2)),
    nodeOf('Sub', ['bits', 'sign'], ['magnitude']),
    nodeOf('Pow', ['two', 'magnitude'], ['range']),
    nodeOf('Sub', ['range', 'one'], ['most']),
    nodeOf('Mul', ['range', 'sign'], ['below']),
    nodeOf('Neg', ['below'], ['least']),
    nodeOf('Div', ['x', 'scale'], ['steps']),
    nodeOf('Add', ['steps', 'zero'], ['placed']),
    nodeOf('Max', ['placed', 'least'], ['from']),
    nodeOf('Min', ['from', 'most'], ['limited']),
    nodeOf('Round', ['limited'], ['integers']),
    nodeOf('Sub', ['integers', 'zero'], ['moved']),
    nodeOf('Mul', ['moved', 'scale'], ['y']),
  ];
  return {
    ...{ name: 'Quant', domain: 'qonnx.custom_op.general', input: ['x', 'scale', 'zero', 'bits'], output: ['y'] },
    ...{ node: nodes, attribute: ['signed', 'narrow', 'rounding_mode'] },
    opsetImport: [{ domain: '', version: operators }],
  };
}

/** A QONNX file with its `Quant` written out. */
export function withQuant(bytes: Uint8Array): Uint8Array {
  const model = readModel(bytes, 'model.onnx');
  const { version } = model.opsetImport.find(({ domain }) => !domain)!;
  return writeModel({ ...model, functions: [...model.functions, quant(version!)] });
}
