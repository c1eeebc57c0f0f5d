// What a run's phases will compile, as far as that can be said before they begin: for a device that prepares it while
// the network trains (Backend.expect). A guess with no say in anything: a phase forms its own graphs, and what is left
// out here, or stands here in vain, costs time alone. Multipliers are known when they are mapped: recovery says by
// itself what it will train.

import type { Graph } from '../../engine/graph/graph.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import { evaluationGraph } from '../../train/evaluation.ts';
import { feedOf } from '../../train/feed.ts';
import { withHardTheta } from '../../train/hard-choice.ts';
import { partsOf } from '../../train/replicas.ts';
import { type StepOptions, trainingStep } from '../../train/step.ts';
import { type Arithmetic, buildNetwork } from '../../train/task.ts';
import { powerTerm, quantizedArithmetic } from '../multipliers/multipliers.ts';
import { hasTarget } from '../multipliers/targets.ts';
import type { RunContext } from '../run/context.ts';
import type { Phase, TrainingPhase } from '../settings/phases.ts';
import { exploringArithmetic } from '../start/following-biases.ts';
import { mayReplaceRanges, probedGraph } from './harm.ts';
import { teacherToCome } from './teacher.ts';
import { batchNormOf, fitOf, learntFrom } from './training.ts';

type Run = Pick<RunContext, 'configuration' | 'dataset' | 'task' | 'layers' | 'backend' | 'recompute' | 'floatModel'>;

/** Graphs of these phases, each formed when it is asked for. */
export function* expectedGraphs(run: Run, phases: readonly Phase[]): Generator<Graph> {
  const { configuration } = run;
  if (phases.includes('train')) yield* expectedTraining(run, 'train', { kind: 'float' });
  if (phases.includes('quantize')) {
    const arithmetic = quantizedArithmetic(run, exactMultiplier);
    yield* calibration(run, arithmetic);
    if (mayReplaceRanges(run)) yield probedGraph(run);
    yield* expectedTraining(run, 'quantize', arithmetic);
  }
  if (phases.includes('explore')) {
    const structure = {
      power: powerTerm(configuration, run.layers),
      weightDecay: configuration.explore.thetaWeightDecay,
      harden: configuration.explore.harden || (hasTarget(configuration) ? Number.MIN_VALUE : 0),
    };
    const arithmetic = exploringArithmetic(run);
    yield* expectedTraining(run, 'explore', arithmetic, structure);
    // Before every θ is set to 0 or 1, the network is measured with such.
    if (structure.harden > 0) {
      const { backend, task, dataset } = run;
      const hard = withHardTheta(arithmetic);
      yield evaluationGraph({ session: { backend }, task, arithmetic: hard, split: dataset.train, mode: 'statistics' });
    }
  }
}

/** The step of a phase and its evaluation. */
export function* expectedTraining(
  run: Run,
  phase: TrainingPhase,
  arithmetic: Arithmetic,
  structure?: StepOptions['structure'],
): Generator<Graph> {
  const { configuration, backend, recompute, floatModel } = run;
  const { epochs, batchSize } = configuration[phase];
  const { task, dataset } = learntFrom(run, phase);
  if (epochs > 0) {
    const feed = feedOf({ backend }, task, dataset.train, dataset.augment);
    const size = Math.min(batchSize, dataset.train.count);
    const options = {
      ...fitOf(configuration[phase]),
      ...{ task, arithmetic, recompute },
      teacher: teacherToCome(run, phase, floatModel?.quantizers !== undefined),
      stepRate: configuration.quantize.stepRate,
      batchNorm: batchNormOf(configuration),
      ...(structure ? { structure } : {}),
    };
    const parts = partsOf(size, backend.device, feed);
    yield trainingStep(options, feed, size, parts).graph;
  }
  yield evaluationGraph({ session: { backend }, task, arithmetic, split: dataset.test, mode: 'evaluate' });
}

function* calibration({ configuration, backend, task, dataset }: Run, arithmetic: Arithmetic): Generator<Graph> {
  const size = Math.min(configuration.quantize.images, dataset.train.count);
  yield buildNetwork(task, arithmetic, 'calibrate', size, feedOf({ backend }, task, dataset.train)).graph;
}
