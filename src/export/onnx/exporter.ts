// The forms `onnx` and `qonnx`: a network's file or two, and a text that says what is in them. `model.onnx` computes
// what the run evaluates; where it has approximate layers, `exact.onnx` is the same network with exact products in
// their place, for programs that know standard operators alone.

import type { ExportFiles, ExportInput } from '../exporter.ts';
import { INPUT, type LowerOptions, lowerNetwork, OUTPUT } from './lower.ts';

export function exportOnnx(input: ExportInput): ExportFiles {
  return exported(input, 'qdq');
}

export function exportQonnx(input: ExportInput): ExportFiles {
  return exported(input, 'qonnx');
}

function exported({ frozen }: ExportInput, style: LowerOptions['style']): ExportFiles {
  const model = lowerNetwork(frozen, { style, exact: false });
  const isApproximate = model.approximate.length > 0;
  const { shape } = frozen.image;
  const [, height, width, channels] = shape;
  const batch = model.anyBatch ? 'N' : '1';
  const lines = [
    `${frozen.model}, stage ${frozen.stage}`,
    '',
    `model.onnx: what the run evaluates. Input ${INPUT}: ${style === 'qdq' ? 'uint8' : 'float32'} [${batch}, ${channels}, ${height}, ${width}], raw pixels 0 … 255; output ${OUTPUT}: float32 [${batch}, ${frozen.classes}].`,
    ...(isApproximate
      ? [
          `Layers with approximate products: ${model.approximate.join(', ')}. They are operations of the domain tram.axm, which carry their table and are written out as functions of the model.`,
          'exact.onnx: the same with exact products and without operations of that domain. A network that was trained for its multiplier is another one there: measure it before you use it.',
        ]
      : ['All products are exact.']),
    '',
  ];
  return new Map<string, string | Uint8Array>([
    ['model.onnx', model.bytes],
    ...(isApproximate ? [['exact.onnx', lowerNetwork(frozen, { style, exact: true }).bytes] as const] : []),
    ['README.txt', lines.join('\n')],
  ]);
}
