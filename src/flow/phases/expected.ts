// What a run's phases will compile, as far as that can be said before they begin: for a device that prepares it while
// the network trains (Backend.expect). A guess with no say in anything: a phase forms its own graphs, and what is left
// out here, or stands here in vain, costs time alone. Whatever a phase compiles is named, be it a batch of another size
// alone: a device may have other kernels for it. Of mapped multipliers whoever comes to know them says what they need
// (`expectMapped`): exploration where θ is fixed, or else mapping. Left out are searches for widths and multipliers for
// groups of layers, which few runs ask for.

import type { Graph } from '../../engine/graph/graph.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import type { ProductTable } from '../../multiplier/table.ts';
import { sha256 } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { evaluationGraph } from '../../train/evaluation.ts';
import { feedOf } from '../../train/feed.ts';
import { hardChoiceGraph } from '../../train/hard-choice.ts';
import { stepSizes } from '../../train/loop.ts';
import { partsOf } from '../../train/replicas.ts';
import { type StepOptions, trainingStep } from '../../train/step.ts';
import type { Arithmetic, QuantizedArithmetic } from '../../train/task.ts';
import { mappedArithmetic, readTables } from '../multipliers/mapped.ts';
import { arithmeticToMap, powerTerm, quantizedArithmetic, recoveryArithmetic } from '../multipliers/multipliers.ts';
import { operandsGraph, slopeGraphs } from '../multipliers/operands.ts';
import { activityGraph } from '../multipliers/proof.ts';
import { hasTarget } from '../multipliers/targets.ts';
import { type OpenRun, type RunContext, requirePhase } from '../run/context.ts';
import { files } from '../run/folder.ts';
import { approximateLayers } from '../settings/layers.ts';
import type { Phase, TrainingPhase } from '../settings/phases.ts';
import { exploringArithmetic } from '../start/following-biases.ts';
import { startGraphs } from '../start/start.ts';
import { SETTLING, statisticsGraph } from '../start/statistics.ts';
import { calibrationGraph } from './calibrate.ts';
import { harmGraphs, mayReplaceRanges } from './harm.ts';
import { lossSample } from './target.ts';
import { teacherToCome } from './teacher.ts';
import { batchNormOf, fitOf, learntFrom } from './training.ts';

type Run = OpenRun & Partial<Pick<RunContext, 'floatModel'>>;

/** Lets the device expect these phases, and a multiplier that is given. */
export function expectPhases(run: Run & Pick<RunContext, 'imported'>, phases: readonly Phase[]): void {
  run.backend.expect?.(expectedGraphs(run, phases));
  const { imported, configuration, layers } = run;
  if (!imported || !phases.includes('map')) return;
  const tables = new Map(approximateLayers(configuration, layers).map(({ name }) => [name, imported.table]));
  expectMapped(run, tables, phases.slice(phases.indexOf('map')));
}

/** Graphs of these phases, each formed when it is asked for. */
function* expectedGraphs(run: Run, phases: readonly Phase[]): Generator<Graph> {
  if (phases.includes('train')) yield* expectedTraining(run, 'train', { kind: 'float' });
  if (phases.includes('quantize')) {
    const arithmetic = quantizedArithmetic(run, exactMultiplier);
    yield calibrationGraph(run, arithmetic);
    if (mayReplaceRanges(run)) yield* harmGraphs(run, arithmetic);
    yield* startGraphs(run, { from: arithmetic, to: arithmetic }, 'quantize');
    yield* expectedTraining(run, 'quantize', arithmetic);
  }
  if (phases.includes('explore')) yield* expectedExploration(run);
  if (phases.includes('map')) yield operandsOf(run, arithmeticToMap(run));
  else if (phases.includes('recover')) {
    yield* expectedMapped(run, readTables(run.folder, requirePhase(run, 'map')), phases);
  }
}

function* expectedExploration(run: Run): Generator<Graph> {
  const { configuration, backend, task, dataset, layers } = run;
  const structure = {
    power: powerTerm(configuration, layers),
    weightDecay: configuration.explore.thetaWeightDecay,
    harden: configuration.explore.harden || (hasTarget(configuration) ? Number.MIN_VALUE : 0),
  };
  const exact = quantizedArithmetic(run, exactMultiplier);
  const arithmetic = exploringArithmetic(run);
  const session = { backend };
  yield activityGraph(task, arithmetic).graph;
  if (arithmetic.following?.size || arithmetic.weightCodes === 'best') yield operandsOf(run, exact);
  yield* startGraphs(run, { from: exact, to: arithmetic }, 'explore');
  yield* expectedTraining(run, 'explore', arithmetic, structure);
  const split = lossSample(run);
  if (split) {
    for (const one of [exact, arithmetic]) {
      yield evaluationGraph({ session, task, arithmetic: one, split, mode: 'evaluate' });
    }
  }
  // Before every θ is set to 0 or 1, the network is measured with such.
  if (structure.harden > 0) {
    yield hardChoiceGraph({ session, task, arithmetic, train: dataset.train, seed: configuration.seed });
  }
  if (hasTarget(configuration)) {
    const { augment } = learntFrom(run, 'explore').dataset;
    const images = { images: SETTLING, ...given({ augment }) };
    const network = statisticsGraph(session, task, arithmetic, dataset, images);
    if (network) yield network.graph;
  }
}

/** Lets the device expect what these phases need of known multipliers, by layer; said again, it is heard once. */
export function expectMapped(run: Run, tables: ReadonlyMap<string, ProductTable>, phases: readonly Phase[]): void {
  const hashes = new Map([...new Set(tables.values())].map((table) => [table, hashOf(table)]));
  const name = JSON.stringify([phases, [...tables].map(([layer, table]) => [layer, hashes.get(table)])]);
  run.backend.expect?.(expectedMapped(run, tables, phases), name);
}

const hashOf = ({ weightBits, activationBits, signed, data }: ProductTable): string =>
  sha256(`${weightBits}×${activationBits} ${signed}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));

/** What known multipliers, by layer, need of these phases: the network as it is mapped, and its recovery. */
function* expectedMapped(
  run: Run,
  tables: ReadonlyMap<string, ProductTable>,
  phases: readonly Phase[],
): Generator<Graph> {
  const { backend, task, dataset } = run;
  const mapped = mappedArithmetic(run, tables);
  if (phases.includes('map')) {
    yield evaluationGraph({ session: { backend }, task, arithmetic: mapped, split: dataset.test, mode: 'evaluate' });
  }
  if (!phases.includes('recover')) return;
  const arithmetic = recoveryArithmetic(run.configuration, mapped);
  const from = arithmeticToMap(run);
  if (mapped.weightCodes === 'best') yield operandsOf(run, from);
  yield activityGraph(task, arithmetic).graph;
  yield* startGraphs(run, { from, to: mapped }, 'recover');
  yield* slopeGraphs(run, mapped);
  yield* expectedTraining(run, 'recover', arithmetic);
}

/** The steps of a phase and its evaluation. */
export function* expectedTraining(
  run: Run,
  phase: TrainingPhase,
  arithmetic: Arithmetic,
  structure?: StepOptions['structure'],
): Generator<Graph> {
  const { configuration, backend, recompute } = run;
  const { task, dataset } = learntFrom(run, phase);
  const { count } = dataset.train;
  if (configuration[phase].epochs > 0) {
    const feed = feedOf({ backend }, task, dataset.train, dataset.augment);
    const options = {
      ...fitOf(configuration[phase]),
      ...{ task, arithmetic, recompute },
      teacher: teacherToCome(run, phase, beginsQuantized(run)),
      stepRate: configuration.quantize.stepRate,
      batchNorm: batchNormOf(configuration),
      ...(structure ? { structure } : {}),
    };
    for (const size of stepSizes(options, count)) {
      yield trainingStep(options, feed, size, partsOf(size, backend.device, feed)).graph;
    }
  }
  yield evaluationGraph({ session: { backend }, task, arithmetic, split: dataset.test, mode: 'evaluate' });
}

/** Whether the run begins with a quantised network. */
const beginsQuantized = ({ floatModel, manifest }: Run): boolean =>
  (floatModel ? floatModel.quantizers : manifest.phases.train?.files[files.quantizers]) !== undefined;

/** The network whose operands are counted over the run's calibration images. */
function operandsOf({ configuration, backend, task, dataset }: Run, arithmetic: QuantizedArithmetic): Graph {
  return operandsGraph({ backend }, task, arithmetic, dataset.train, configuration.quantize.images).graph;
}
