// Phase 3: the weights are retrained with the mapped multiplier in the forward pass. Gradients are straight-through
// (those of the exact product) or go through the multiplier's error (multiplier/slopes.ts).

import { evaluator } from '../../train/evaluation.ts';
import { mappedArithmetic, mappedGateCost, readTables } from '../multipliers/mapped.ts';
import { arithmeticToMap, recoveryArithmetic } from '../multipliers/multipliers.ts';
import { slopeOperands } from '../multipliers/operands.ts';
import { describeActivity, proveActive } from '../multipliers/proof.ts';
import { chooseWeightCodes } from '../multipliers/weight-codes.ts';
import { saveModel } from '../run/checkpoint.ts';
import { networkToMap, type RunContext, requirePhase, sessionFrom } from '../run/context.ts';
import { files } from '../run/folder.ts';
import { EXACT } from '../settings/layers.ts';
import type { PhaseResult } from './result.ts';
import { startPhase } from './start.ts';
import { finishTraining, fitOf, resumePosition, trainPhase } from './training.ts';

export async function recover(context: RunContext): Promise<PhaseResult> {
  const { configuration, dataset, task, folder, listener } = context;
  const mapRecord = requirePhase(context, 'map');
  const mapped = mappedArithmetic(context, readTables(folder, mapRecord));
  const session = await sessionFrom(context, ...networkToMap(configuration));
  try {
    const change = { from: arithmeticToMap(context), to: mapped };
    await chooseWeightCodes(context, session, change);
    const proved = await proveActive(session, task, mapped, dataset.test);
    const isExact = configuration.map.multiplier === EXACT;
    if (!isExact) listener({ kind: 'note', text: describeActivity('mapped multiplier', proved) });
    const evaluate = await evaluator(session, task, mapped, dataset.test);
    const gateCost = mappedGateCost(context, mapRecord.multipliers ?? []);
    const started = await startPhase(context, {
      ...{ phase: 'recover', session, stage: 'recovery-started', evaluate },
      before: mapRecord.stages.find(({ stage }) => stage === 'mapped')?.accuracy,
      change,
    });
    // By the network as it begins, also where a resume point is about to take its place.
    const arithmetic = recoveryArithmetic(configuration, mapped, await slopeOperands(context, session, mapped));
    const start = resumePosition(context, 'recover', session);
    await trainPhase(
      context,
      { phase: 'recover', session, fit: { ...fitOf(configuration.recover), arithmetic } },
      start,
    );
    const { loss, metrics } = await evaluate();
    await saveModel(context, files.recovered, session);
    return {
      files: [files.recovered],
      stages: [
        ...(started ? [{ ...started, ...gateCost }] : []),
        { stage: 'recovered', accuracy: metrics.accuracy, loss, ...gateCost },
      ],
      finish: () => finishTraining(context),
    };
  } finally {
    await session.dispose();
  }
}
