// The float model: trained from scratch, or taken from a checkpoint.

import { initialTensor } from '../../nn/parameters.ts';
import { evaluator } from '../../train/evaluation.ts';
import { buildNetwork } from '../../train/task.ts';
import { saveModel } from '../run/checkpoint.ts';
import type { RunContext } from '../run/context.ts';
import { files, inFolder } from '../run/folder.ts';
import type { PhaseResult } from './result.ts';
import { finishTraining, fitOf, resumePosition, trainPhase } from './training.ts';

export async function trainFloat(context: RunContext): Promise<PhaseResult> {
  const { configuration, dataset, task, layers, backend, floatModel } = context;
  const arithmetic = { kind: 'float' } as const;
  const session = await backend.openSession();
  try {
    if (floatModel) {
      for (const text of floatModel.notes) context.listener({ kind: 'note', text });
      for (const [name, tensor] of floatModel.parameters) session.write(name, tensor);
    } else {
      const { parameters } = buildNetwork(task, arithmetic, 'evaluate', 1).layers;
      parameters.forEach((parameter, position) => {
        session.write(parameter.name, initialTensor(parameter, configuration.seed, position));
      });
      const start = resumePosition(context, 'train', session);
      await trainPhase(context, { phase: 'train', session, fit: { ...fitOf(configuration.train), arithmetic } }, start);
    }
    const evaluate = await evaluator(session, task, arithmetic, dataset.test);
    const { loss, metrics } = await evaluate();
    await saveModel(inFolder(context, files.float), session, layers);
    return {
      files: [files.float],
      stages: [{ stage: 'float', accuracy: metrics.accuracy, loss }],
      finish: () => finishTraining(context),
    };
  } finally {
    await session.dispose();
  }
}
