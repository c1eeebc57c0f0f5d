// Quantisers, their gradients and the range observers: assembly/quantizer.ts.

import { asOne, elements, float, Layout, type Lowerings, pathAsOne, type WaysOf } from './lowering.ts';
import { finishSums, type Matrix, matrixOf, partialBytes, perEither } from './reduction.ts';

const levels = (bits: number): number => float(2 ** bits - 1);

interface Operands {
  readonly x?: number;
  readonly codes?: number;
  readonly scale: number;
  readonly zero: number;
  readonly g?: number;
  readonly out?: number;
  readonly partials?: number;
}

/** The Quantizer record. */
function words(matrix: Matrix, bits: number, at: Operands): number[] {
  const { x = 0, codes = 0, scale, zero, g = 0, out = 0, partials = 0 } = at;
  const extents = [matrix.rows, matrix.channels, matrix.rowsPerPart, Number(!matrix.merge)];
  return [x, codes, scale, zero, g, out, partials, ...extents, levels(bits)];
}

type Quantizing =
  | 'quantize'
  | 'quantizeGradient'
  | 'dequantize'
  | 'rangeToScale'
  | 'clipScale'
  | 'clipScaleGradient'
  | 'clipSearch';

export const quantizationWays: WaysOf<Quantizing> = {
  quantize: perEither,
  quantizeGradient: perEither,
  dequantize: perEither,
  rangeToScale: asOne,
  clipScale: asOne,
  clipScaleGradient: asOne,
  clipSearch: perEither,
};

export const quantization: Lowerings<Quantizing> = {
  quantize: ({ inputs: [type], attributes: { bits, granularity } }) => {
    const matrix = matrixOf(type!, granularity);
    return {
      path: matrix.path,
      launches: ({ inputs: [x, scale, zero], outputs: [codes] }) => {
        const record = words(matrix, bits, { x: x!, codes: codes!, scale: scale!, zero: zero! });
        return [{ kernel: 'quantize', parts: matrix.parts, record }];
      },
    };
  },

  dequantize: ({ inputs: [type], attributes: { granularity } }) => {
    const matrix = matrixOf(type!, granularity);
    return {
      path: matrix.path,
      launches: ({ inputs: [codes, scale, zero], outputs: [out] }) => {
        const record = words(matrix, 8, { codes: codes!, scale: scale!, zero: zero!, out: out! });
        return [{ kernel: 'dequantize', parts: matrix.parts, record }];
      },
    };
  },

  quantizeGradient: ({ inputs: [, type], attributes: { bits, granularity } }) => {
    const matrix = matrixOf(type!, granularity);
    return {
      path: matrix.path,
      workspaceBytes: partialBytes(matrix, 8),
      launches: ({ inputs: [g, x, scale, zero], outputs: [dx, dscale], workspace }) => {
        const at = { x: x!, scale: scale!, zero: zero!, g: g!, out: dx!, partials: workspace };
        return [
          { kernel: 'quantizeGradient', parts: matrix.parts, record: words(matrix, bits, at) },
          finishSums(matrix, workspace, 0, dscale!),
        ];
      },
    };
  },

  rangeToScale: ({ outputs: [type], attributes: { bits } }) => ({
    path: pathAsOne,
    launches: ({ inputs: [low, high, factor], outputs: [scale, zero] }) => {
      const record = [low!, high!, factor!, 0, scale!, zero!, 0, 0, 0, 0, 0, elements(type!), levels(bits)];
      return [{ kernel: 'rangeToScale', parts: 1, record }];
    },
  }),

  clipScale: ({ outputs: [type], attributes: { bits } }) => ({
    path: pathAsOne,
    launches: ({ inputs, outputs }) => {
      const record = [...inputs, ...outputs, 0, 0, 0, 0, 0, elements(type!), levels(bits)];
      return [{ kernel: 'clipScale', parts: 1, record }];
    },
  }),

  clipScaleGradient: ({ outputs: [type], attributes: { bits } }) => ({
    path: pathAsOne,
    launches: ({ inputs: [gScale, ...range], outputs }) => {
      const record = [...range, 0, 0, gScale!, ...outputs, elements(type!), levels(bits)];
      return [{ kernel: 'clipScaleGradient', parts: 1, record }];
    },
  }),

  clipSearch: ({ inputs: [type], attributes }) => {
    const { bits, granularity, steps, shrink, exponent } = attributes;
    const matrix = matrixOf(type!, granularity);
    const factors = Float64Array.from({ length: steps }, (_, step) => 1 - shrink * step);
    const layout = new Layout();
    const ranges = layout.take(steps * 2 * Math.ceil(matrix.channels / 4) * 16);
    const partials = layout.take(matrix.parts * steps * 8);
    return {
      path: matrix.path,
      workspaceBytes: layout.bytes,
      launches: ({ inputs: [x, low, high], outputs: [out], workspace, place }) => {
        const tensors = [x!, low!, high!, out!, place(factors), workspace + ranges, workspace + partials];
        const extents = [matrix.rows, matrix.channels, matrix.rowsPerPart, Number(!matrix.merge), steps, matrix.parts];
        const record = [...tensors, ...extents, levels(bits), float(exponent)];
        return [
          { kernel: 'clipRanges', parts: 1, record },
          { kernel: 'clipErrors', parts: matrix.parts, record },
          { kernel: 'clipBest', parts: 1, record },
        ];
      },
    };
  },
};
