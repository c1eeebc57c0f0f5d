// Pictures of a run, from what its folder holds: adapters between our data and the report's plain inputs. Those of its
// multipliers are in workbench/figures.ts.

import { type PowerModelName, powerModelTitles } from '../../multiplier/power-model.ts';
import { grainOf, type Structure } from '../../multiplier/structure.ts';
import { curvesSvg, type PhaseCurves, type ThetaPoint, thetaSvg } from '../../report/curves.ts';
import { frontSvg, NARROW_FRAME } from '../../report/front-picture.ts';
import { thetaStripSvg } from '../../report/theta-strip.ts';
import { given } from '../../tensor/given.ts';
import type { NamedFigure } from '../../workbench/figures.ts';
import type { MetricRecord } from '../run/events.ts';
import type { TypesRecord } from '../run/manifest.ts';
import type { TrainingPhase } from '../settings/phases.ts';
import { kindNames, type RunFront } from './rivals.ts';

const phaseTitles: Record<TrainingPhase, string> = {
  train: 'Float training',
  quantize: 'Quantisation-aware training',
  explore: 'Exploration',
  recover: 'Recovery',
};

/** Loss, accuracy and power over the epochs of every training phase. */
export async function curvesFigure(records: readonly MetricRecord[], model: PowerModelName): Promise<NamedFigure> {
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
    caption: `cross-entropy, accuracy and power (${powerModelTitles[model]}, relative to the exact 8×8 array) over the epochs, each phase on its own scales`,
    svg: await curvesSvg(curves),
  };
}

/** The run's multiplier among its rivals, over one kind of power. */
export async function frontFigure({ kind, library, own, rivals }: RunFront): Promise<NamedFigure> {
  const points = [...rivals, own];
  const options = given({ technology: library });
  return {
    name: `front-${kind}`,
    title: `Accuracy over ${kindNames[kind]}`,
    caption:
      'this multiplier and exact ones of fewer bits in the same network; dashed: nothing measured here is cheaper and as accurate',
    svg: await frontSvg(points, options),
    narrow: await frontSvg(points, { ...options, ...NARROW_FRAME }),
  };
}

/** θ over the epochs of phase 1, from its start. */
export async function thetaFigure(
  records: readonly MetricRecord[],
  initial: readonly number[],
  structure: Structure,
  kinds: TypesRecord['kinds'] = [],
): Promise<NamedFigure | undefined> {
  const all = records.filter((record) => record.phase === 'explore' && record.theta);
  const names = Object.keys(all[0]?.theta ?? {});
  // Layers that were put together have the θ of their kind from then on, where it is known which.
  const nameIn = (theta: NonNullable<MetricRecord['theta']>, name: string) =>
    theta[name] ? name : `${kinds.find(({ layers }) => layers.some((layer) => `${layer}.theta` === name))?.name}.theta`;
  const explored = all.filter(({ theta }) => names.every((name) => theta![nameIn(theta!, name)]));
  if (names.length === 0) return undefined;
  const points: ThetaPoint[] = [
    { epoch: 0, theta: names.map(() => initial) },
    ...explored.map(({ epoch, theta }) => ({ epoch, theta: names.map((name) => theta![nameIn(theta!, name)]!) })),
  ];
  const titles = names.map((name) => (name === 'theta' ? 'all layers' : name.replace(/\.theta$/, '')));
  if (grainOf(structure) === 'product') {
    return {
      name: 'theta',
      title: 'Structure parameters',
      caption:
        'θ of each partial product, the share of it that the multiplier lacks: over the epochs, and at the end by bits of weight and activation',
      svg: await thetaStripSvg(points, titles, structure),
    };
  }
  return {
    name: 'theta',
    title: 'Structure parameters',
    caption: 'θ of each column: the share of the column that the multiplier lacks',
    svg: await thetaSvg(points, titles, structure.names),
  };
}
