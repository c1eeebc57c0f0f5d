// Batch normalisation and the other per-channel operations: assembly/normalization.ts.

import { float, type Launch, Layout, type Lowerings, type WaysOf } from './lowering.ts';
import { type Matrix, matrixOf, partialBytes, perChannel, sumsLaunch } from './reduction.ts';

interface Operands {
  readonly g?: number;
  readonly x: number;
  readonly gamma: number;
  readonly beta?: number;
  readonly mean: number;
  readonly variance: number;
  readonly out: number;
  readonly gammaGradient?: number;
  readonly betaGradient?: number;
}

/** The Normalization record. */
function words(matrix: Matrix, partials: number, coefficients: number, epsilon: number, at: Operands): number[] {
  const { g = 0, x, gamma, beta = 0, mean, variance, out, gammaGradient = 0, betaGradient = 0 } = at;
  return [
    ...[partials, matrix.parts, matrix.rows, matrix.channels, matrix.rowsPerPart],
    ...[g, x, gamma, beta, mean, variance, out, gammaGradient, betaGradient, coefficients, float(epsilon)],
  ];
}

/** Workspace for partial sums and three coefficients per channel. */
function workspaceOf(matrix: Matrix): {
  readonly bytes: number;
  readonly partials: number;
  readonly coefficients: number;
} {
  const layout = new Layout();
  const partials = layout.take(partialBytes(matrix, 8));
  const coefficients = layout.take(3 * matrix.channels * 4);
  return { bytes: layout.bytes, partials, coefficients };
}

type PerChannel = 'batchNorm' | 'batchNormGradient' | 'batchNormInference' | 'bias' | 'imageToFloat';

export const normalizationWays: WaysOf<PerChannel> = {
  batchNorm: perChannel,
  batchNormGradient: perChannel,
  batchNormInference: perChannel,
  bias: perChannel,
  imageToFloat: perChannel,
};

export const normalization: Lowerings<PerChannel> = {
  batchNorm: ({ inputs: [type], attributes: { epsilon } }) => {
    const matrix = matrixOf(type!, 'channel');
    const { bytes, partials, coefficients } = workspaceOf(matrix);
    return {
      path: matrix.path,
      workspaceBytes: bytes,
      launches: ({ inputs: [x, gamma, beta], outputs: [out, mean, variance], workspace }): Launch[] => {
        const at = { x: x!, gamma: gamma!, beta: beta!, mean: mean!, variance: variance!, out: out! };
        const record = words(matrix, workspace + partials, workspace + coefficients, epsilon, at);
        return [
          sumsLaunch(matrix, x!, x!, workspace + partials),
          { kernel: 'batchStatistics', parts: 1, record },
          { kernel: 'normalize', parts: matrix.parts, record },
        ];
      },
    };
  },

  batchNormGradient: ({ inputs: [type], attributes: { epsilon } }) => {
    const matrix = matrixOf(type!, 'channel');
    const { bytes, partials, coefficients } = workspaceOf(matrix);
    return {
      path: matrix.path,
      workspaceBytes: bytes,
      launches: ({ inputs: [g, x, gamma, mean, variance], outputs: [out, gammaGradient, betaGradient], workspace }) => {
        const statistics = { mean: mean!, variance: variance! };
        const results = { out: out!, gammaGradient: gammaGradient!, betaGradient: betaGradient! };
        const at = { g: g!, x: x!, gamma: gamma!, ...statistics, ...results };
        const record = words(matrix, workspace + partials, workspace + coefficients, epsilon, at);
        return [
          sumsLaunch(matrix, g!, x!, workspace + partials),
          { kernel: 'normalizationSums', parts: 1, record },
          { kernel: 'normalizeGradient', parts: matrix.parts, record },
        ];
      },
    };
  },

  batchNormInference: ({ inputs: [type], attributes: { epsilon } }) => {
    const matrix = matrixOf(type!, 'channel');
    const { bytes, partials, coefficients } = workspaceOf(matrix);
    return {
      path: matrix.path,
      workspaceBytes: bytes,
      launches: ({ inputs: [x, gamma, beta, mean, variance], outputs: [out], workspace }): Launch[] => {
        const at = { x: x!, gamma: gamma!, beta: beta!, mean: mean!, variance: variance!, out: out! };
        const record = words(matrix, workspace + partials, workspace + coefficients, epsilon, at);
        return [
          { kernel: 'givenStatistics', parts: 1, record },
          { kernel: 'normalize', parts: matrix.parts, record },
        ];
      },
    };
  },

  bias: ({ inputs: [type] }) => {
    const matrix = matrixOf(type!, 'channel');
    return {
      path: matrix.path,
      launches: ({ inputs: [x, offset], outputs: [out] }) => [
        {
          kernel: 'bias',
          parts: matrix.parts,
          record: [x!, 0, offset!, out!, matrix.rows, matrix.channels, matrix.rowsPerPart],
        },
      ],
    };
  },

  imageToFloat: ({ inputs: [type], attributes }) => {
    const matrix = matrixOf(type!, 'channel');
    return {
      path: matrix.path,
      launches: ({ inputs: [x], outputs: [out], place }) => {
        const scale = place(Float32Array.from(attributes.scale));
        const offset = place(Float32Array.from(attributes.offset));
        const extents = [matrix.rows, matrix.channels, matrix.rowsPerPart];
        return [{ kernel: 'imageToFloat', parts: matrix.parts, record: [x!, scale, offset, out!, ...extents] }];
      },
    };
  },
};
