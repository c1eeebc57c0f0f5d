// Batch normalisation and the other per-channel operations: ../kernels/normalization.ts.

import { type Launch, launch } from './launch.ts';
import { Layout, type Lowerings, type WaysOf } from './lowering.ts';
import type { Normalization } from './records.ts';
import { extentsOf, type Matrix, matrixOf, partialBytes, perChannel, sumsLaunch } from './reduction.ts';
import type { Address } from './words.ts';

/** What only the gradient's kernels have. */
const absent = { g: 0, gammaGradient: 0, betaGradient: 0 } as const;

type Shared = 'partials' | 'parts' | 'rows' | 'channels' | 'rowsPerPart' | 'coefficients' | 'epsilon';

/**
 * Workspace for partial sums and three coefficients per channel, and the fields of the Normalization record that all
 * kernels share.
 */
function shared(matrix: Matrix, epsilon: number) {
  const layout = new Layout();
  const partials = layout.take(partialBytes(matrix, 8));
  const coefficients = layout.take(3 * matrix.channels * 4);
  return {
    bytes: layout.bytes,
    at: (workspace: Address): Pick<Normalization, Shared> => ({
      partials: workspace + partials,
      parts: matrix.parts,
      ...extentsOf(matrix),
      coefficients: workspace + coefficients,
      epsilon,
    }),
  };
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
    const { bytes, at } = shared(matrix, epsilon);
    return {
      path: matrix.path,
      workspaceBytes: bytes,
      launches: ({ inputs: [x, gamma, beta], outputs: [out, mean, variance], workspace }): Launch[] => {
        const operands = { x: x!, gamma: gamma!, beta: beta!, mean: mean!, variance: variance!, out: out! };
        const record: Normalization = { ...at(workspace), ...absent, ...operands };
        return [
          sumsLaunch(matrix, x!, x!, record.partials),
          launch('batchStatistics', 1, record),
          launch('normalize', matrix.parts, record),
        ];
      },
    };
  },

  batchNormGradient: ({ inputs: [type], attributes: { epsilon } }) => {
    const matrix = matrixOf(type!, 'channel');
    const { bytes, at } = shared(matrix, epsilon);
    return {
      path: matrix.path,
      workspaceBytes: bytes,
      launches: ({ inputs: [g, x, gamma, mean, variance], outputs: [out, gammaGradient, betaGradient], workspace }) => {
        const operands = { g: g!, x: x!, gamma: gamma!, beta: 0, mean: mean!, variance: variance! };
        const results = { out: out!, gammaGradient: gammaGradient!, betaGradient: betaGradient! };
        const record: Normalization = { ...at(workspace), ...operands, ...results };
        return [
          sumsLaunch(matrix, g!, x!, record.partials),
          launch('normalizationSums', 1, record),
          launch('normalizeGradient', matrix.parts, record),
        ];
      },
    };
  },

  batchNormInference: ({ inputs: [type], attributes: { epsilon } }) => {
    const matrix = matrixOf(type!, 'channel');
    const { bytes, at } = shared(matrix, epsilon);
    return {
      path: matrix.path,
      workspaceBytes: bytes,
      launches: ({ inputs: [x, gamma, beta, mean, variance], outputs: [out], workspace }): Launch[] => {
        const operands = { x: x!, gamma: gamma!, beta: beta!, mean: mean!, variance: variance!, out: out! };
        const record: Normalization = { ...at(workspace), ...absent, ...operands };
        return [launch('givenStatistics', 1, record), launch('normalize', matrix.parts, record)];
      },
    };
  },

  bias: ({ inputs: [type] }) => {
    const matrix = matrixOf(type!, 'channel');
    return {
      path: matrix.path,
      launches: ({ inputs: [x, offset], outputs: [out] }) => [
        launch('bias', matrix.parts, { x: x!, scale: 0, offset: offset!, out: out!, ...extentsOf(matrix) }),
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
        return [launch('imageToFloat', matrix.parts, { x: x!, scale, offset, out: out!, ...extentsOf(matrix) })];
      },
    };
  },
};
