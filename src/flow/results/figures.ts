// Pictures of a run and of its multipliers, from what the run folder holds: adapters between our data and the report's plain inputs.

import type { OperandHistograms } from '../../multiplier/metrics.ts';
import { exactTable, type ProductTable } from '../../multiplier/table.ts';
import { arrayMultiplier } from '../../netlist/generators/array.ts';
import { describeStructure, type StructureDescription } from '../../netlist/structure.ts';
import { curvesSvg, type PhaseCurves, type ThetaPoint, thetaSvg } from '../../report/curves.ts';
import { type DotDiagram, dotDiagramSvg } from '../../report/dots.ts';
import { type ErrorTable, errorHeatmapSvg, errorHistogramSvg, errorSummary } from '../../report/heatmap.ts';
import { operandsSvg } from '../../report/operands.ts';
import type { MetricRecord, TrainingPhase } from '../run/events.ts';

export interface NamedFigure {
  /** File name without extension. */
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  readonly svg: string;
}

const phaseTitles: Record<TrainingPhase, string> = {
  train: 'Float training',
  quantize: 'Quantisation-aware training',
  explore: 'Exploration',
  recover: 'Recovery',
};

/** Loss, accuracy and power over the epochs of every training phase. */
export async function curvesFigure(records: readonly MetricRecord[]): Promise<NamedFigure> {
  const phases = [...new Set(records.map(({ phase }) => phase))];
  const curves = phases.map((phase): PhaseCurves => {
    const own = records.filter((record) => record.phase === phase);
    return {
      phase: phaseTitles[phase],
      training: own.map(({ epoch, crossEntropy, trainAccuracy, power }) => ({
        epoch,
        loss: crossEntropy,
        accuracy: trainAccuracy,
        ...(power === undefined ? {} : { power }),
      })),
      test: own.map(({ epoch, testLoss, testAccuracy }) => ({ epoch, loss: testLoss, accuracy: testAccuracy })),
    };
  });
  return {
    name: 'curves',
    title: 'Loss, accuracy and power',
    caption:
      'cross-entropy, accuracy and analytic power (relative to the exact 8×8 array) over the epochs, each phase on its own scales',
    svg: await curvesSvg(curves),
  };
}

/** θ over the epochs of phase 1, from its start. */
export async function thetaFigure(
  records: readonly MetricRecord[],
  initial: readonly number[],
): Promise<NamedFigure | undefined> {
  const explored = records.filter((record) => record.phase === 'explore' && record.theta);
  const names = Object.keys(explored[0]?.theta ?? {});
  if (names.length === 0) return undefined;
  const points: ThetaPoint[] = [
    { epoch: 0, theta: names.map(() => initial) },
    ...explored.map(({ epoch, theta }) => ({ epoch, theta: names.map((name) => theta![name]!) })),
  ];
  const titles = names.map((name) => (name === 'theta' ? 'all layers' : name.replace(/\.theta$/, '')));
  return {
    name: 'theta',
    title: 'Structure parameters',
    caption: 'θ of each column: the share of the column that the multiplier lacks',
    svg: await thetaSvg(points, titles),
  };
}

/** Which partial products and adders of the exact multiplier a netlist has kept, and its error over all operand pairs. */
export async function multiplierFigures(
  name: string,
  structure: StructureDescription | undefined,
  table: ProductTable,
): Promise<NamedFigure[]> {
  const exact = exactTable(table.weightBits, table.activationBits, table.signed).data;
  const errors = table.data.map((product, pair) => product - exact[pair]!);
  const { weightBits, activationBits } = table;
  return [
    ...(structure
      ? [
          {
            name: `${name}-dots`,
            title: 'Structure',
            caption: 'partial products and adders that are left of the exact multiplier',
            svg: dotDiagramSvg(dotDiagram(structure)),
          },
        ]
      : []),
    {
      name: `${name}-error-map`,
      title: 'Error map',
      caption: `error of the product for every pair of operands: ${errorSummary({ errors })}`,
      svg: await errorHeatmapSvg({ errors, weightBits, activationBits }, null),
    },
    ...(errors.every((error) => error === 0)
      ? []
      : [await histogramFigure(name, { errors, weightBits, activationBits })]),
  ];
}

async function histogramFigure(name: string, table: ErrorTable): Promise<NamedFigure> {
  return {
    name: `${name}-error-histogram`,
    title: 'Error distribution',
    caption: `over all pairs of operands: ${errorSummary(table)}`,
    svg: await errorHistogramSvg(table, null),
  };
}

/** How often each code occurs among a multiplier's multiplications. */
export async function operandsFigure(name: string, operands: OperandHistograms): Promise<NamedFigure> {
  return {
    name: `${name}-operands`,
    title: 'Operands',
    caption: 'how often each operand occurs in the multiplications of the calibration images',
    svg: await operandsSvg(operands, null),
  };
}

/** The exact multiplier's cells, each marked kept or removed; where the adders are arranged anew, the tree's own. */
function dotDiagram(structure: StructureDescription): DotDiagram {
  const { weightBits, activationBits } = structure;
  const exact = describeStructure(arrayMultiplier(weightBits, activationBits));
  const products = new Set(structure.partialProducts.map(({ i, j }) => `${i},${j}`));
  const kept = new Set(structure.adders.map(({ id }) => id));
  const published = structure.adders.every(
    ({ id, stage, column }) => exact.adders[id]?.stage === stage && exact.adders[id].column === column,
  );
  const adders = published ? exact.adders : structure.adders;
  const count = (wanted: 'full' | 'half') => exact.adders.filter(({ kind }) => kind === wanted).length;
  return {
    weightBits,
    activationBits,
    partialProducts: exact.partialProducts.map(({ i, j }) => ({ i, j, kept: products.has(`${i},${j}`) })),
    adders: adders.map(({ id, stage, column, kind }) => ({ stage: stage - 1, column, kind, kept: kept.has(id) })),
    before: { full: count('full'), half: count('half') },
    constants: structure.constants.map(({ column }) => column),
  };
}
