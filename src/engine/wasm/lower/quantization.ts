// Quantisers, their gradients and the range observers: ../kernels/quantization.ts.

import { launch } from './launch.ts';
import { asOne, elements, Layout, type Lowerings, pathAsOne, type WaysOf } from './lowering.ts';
import type { ClipSearch, Quantizer, Range } from './records.ts';
import { extentsOf, finishSums, type Matrix, matrixOf, partialBytes, perEither } from './reduction.ts';

const levelsOf = (bits: number): number => 2 ** bits - 1;

/** The operands of the kernels with the Quantizer record; each has some of them. */
const noOperands = { x: 0, codes: 0, g: 0, out: 0, partials: 0 } as const;

/** The other fields of the Quantizer record. */
const cutOf = (matrix: Matrix, bits: number): Omit<Quantizer, keyof typeof noOperands | 'scale' | 'zero'> => ({
  ...extentsOf(matrix),
  perChannel: Number(!matrix.merge),
  levels: levelsOf(bits),
});

/** The results of the kernels with the Range record; each has some of them. */
const noResults = {
  ...{ scale: 0, zero: 0 },
  ...{ scaleGradient: 0, lowGradient: 0, highGradient: 0, upperGradient: 0, lowerGradient: 0 },
} as const;

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
        const operands = { x: x!, codes: codes!, scale: scale!, zero: zero! };
        return [launch('quantize', matrix.parts, { ...noOperands, ...operands, ...cutOf(matrix, bits) })];
      },
    };
  },

  dequantize: ({ inputs: [type], attributes: { granularity } }) => {
    const matrix = matrixOf(type!, granularity);
    return {
      path: matrix.path,
      launches: ({ inputs: [codes, scale, zero], outputs: [out] }) => {
        const operands = { codes: codes!, scale: scale!, zero: zero!, out: out! };
        return [launch('dequantize', matrix.parts, { ...noOperands, ...operands, ...cutOf(matrix, 8) })];
      },
    };
  },

  quantizeGradient: ({ inputs: [, type], attributes: { bits, granularity } }) => {
    const matrix = matrixOf(type!, granularity);
    return {
      path: matrix.path,
      workspaceBytes: partialBytes(matrix, 8),
      launches: ({ inputs: [g, x, scale, zero], outputs: [dx, dscale], workspace }) => {
        const operands = { x: x!, codes: 0, scale: scale!, zero: zero!, g: g!, out: dx!, partials: workspace };
        return [
          launch('quantizeGradient', matrix.parts, { ...operands, ...cutOf(matrix, bits) }),
          finishSums(matrix, workspace, 0, dscale!),
        ];
      },
    };
  },

  rangeToScale: ({ outputs: [type], attributes: { bits } }) => ({
    path: pathAsOne,
    launches: ({ inputs: [low, high, factor], outputs: [scale, zero] }) => {
      const range = { low: low!, high: high!, upper: factor!, lower: 0 };
      const results = { ...noResults, scale: scale!, zero: zero! };
      const record: Range = { ...range, ...results, channels: elements(type!), levels: levelsOf(bits) };
      return [launch('rangeToScale', 1, record)];
    },
  }),

  clipScale: ({ outputs: [type], attributes: { bits } }) => ({
    path: pathAsOne,
    launches: ({ inputs: [low, high, upper, lower], outputs: [scale, zero] }) => {
      const range = { low: low!, high: high!, upper: upper!, lower: lower! };
      const results = { ...noResults, scale: scale!, zero: zero! };
      const record: Range = { ...range, ...results, channels: elements(type!), levels: levelsOf(bits) };
      return [launch('clipScale', 1, record)];
    },
  }),

  clipScaleGradient: ({ outputs: [type], attributes: { bits } }) => ({
    path: pathAsOne,
    launches: ({ inputs: [scaleGradient, low, high, upper, lower], outputs: [dLow, dHigh, dUpper, dLower] }) => {
      const range = { low: low!, high: high!, upper: upper!, lower: lower! };
      const ofClips = { upperGradient: dUpper!, lowerGradient: dLower! };
      const results = { scaleGradient: scaleGradient!, lowGradient: dLow!, highGradient: dHigh!, ...ofClips };
      const extents = { channels: elements(type!), levels: levelsOf(bits) };
      return [launch('clipScaleGradient', 1, { ...range, scale: 0, zero: 0, ...results, ...extents })];
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
        const record: ClipSearch = {
          x: x!,
          low: low!,
          high: high!,
          out: out!,
          factors: place(factors),
          ranges: workspace + ranges,
          partials: workspace + partials,
          ...extentsOf(matrix),
          perChannel: Number(!matrix.merge),
          steps,
          parts: matrix.parts,
          levels: levelsOf(bits),
          exponent,
        };
        return [
          launch('clipRanges', 1, record),
          launch('clipErrors', matrix.parts, record),
          launch('clipBest', 1, record),
        ];
      },
    };
  },
};
