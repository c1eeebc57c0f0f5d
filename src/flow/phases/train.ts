// The float model: trained from scratch, taken from a checkpoint or from the file of the model, or trained on from
// there. The quantisers of a quantised checkpoint are kept for phase 0.

import { setImmediate } from 'node:timers/promises';
import { initialTensor } from '../../nn/parameters.ts';
import { stateName } from '../../quant/quantized.ts';
import { significant } from '../../tensor/numbers.ts';
import type { HostTensor } from '../../tensor/tensor.ts';
import { evaluator } from '../../train/evaluation.ts';
import { buildNetwork } from '../../train/task.ts';
import { describeQuantizers } from '../multipliers/multipliers.ts';
import { saveModel, saveQuantizers } from '../run/checkpoint.ts';
import type { RunContext } from '../run/context.ts';
import { files, inFolder } from '../run/folder.ts';
import type { PhaseResult } from './result.ts';
import { finishTraining, fitOf, resumePosition, trainPhase } from './training.ts';

export async function trainFloat(context: RunContext): Promise<PhaseResult> {
  const { configuration, dataset, task, backend, floatModel } = context;
  const { newClassifier, checkpoint, epochs } = configuration.train;
  const isTaken = floatModel !== undefined && !newClassifier && (checkpoint !== undefined || epochs === 0);
  const arithmetic = { kind: 'float' } as const;
  const session = await backend.openSession();
  try {
    if (floatModel) {
      for (const text of floatModel.notes) context.listener({ kind: 'note', text });
      for (const [name, tensor] of floatModel.parameters) session.write(name, tensor);
    }
    if (!floatModel) {
      const { parameters } = buildNetwork(task, arithmetic, 'evaluate', 1).layers;
      for (const [position, parameter] of parameters.entries()) {
        session.write(parameter.name, initialTensor(parameter, configuration.seed, position));
        // Drawing takes a while, in which what compiles wants to be heard.
        await setImmediate();
      }
    }
    if (!isTaken) {
      const start = resumePosition(context, 'train', session);
      await trainPhase(context, { phase: 'train', session, fit: { ...fitOf(configuration.train), arithmetic } }, start);
    }
    const evaluate = await evaluator(session, task, arithmetic, dataset.test);
    const { loss, metrics } = await evaluate();
    await saveModel(context, files.float, session);
    const quantizers = floatModel?.quantizers;
    if (quantizers) {
      const text = otherInputs(context, quantizers);
      if (text !== undefined) context.listener({ kind: 'note', text });
      const arithmetic = describeQuantizers(context);
      saveQuantizers(inFolder(context, files.quantizers), { states: quantizers, arithmetic });
    }
    return {
      files: [files.float, ...(quantizers ? [files.quantizers] : [])],
      ...(quantizers ? { from: 'checkpoint' as const } : {}),
      stages: [{ stage: 'float', accuracy: metrics.accuracy, loss }],
      finish: () => finishTraining(context),
    };
  } finally {
    await session.dispose();
  }
}

/** Share of the range by which inputs may differ from those that a quantiser saw. */
const RANGE_TOLERANCE = 0.1;

/**
 * What speaks for images that are normalised in another way than those that a network was quantised with: the range of
 * its first layer's inputs. Undefined where nothing does.
 */
export function otherInputs(
  { dataset: { mean, deviation }, layers }: Pick<RunContext, 'dataset' | 'layers'>,
  quantizers: ReadonlyMap<string, HostTensor>,
): string | undefined {
  const [from, to] = (['min', 'max'] as const).map((end) => {
    return quantizers.get(stateName(layers[0]!.name, 'input', end))!.data[0]!;
  }) as [number, number];
  const least = Math.min(...mean.map((one, c) => -one / deviation[c]!));
  const most = Math.max(...mean.map((one, c) => (1 - one) / deviation[c]!));
  const tolerance = RANGE_TOLERANCE * (most - least);
  if (Math.abs(from - least) <= tolerance && Math.abs(to - most) <= tolerance) return undefined;
  const range = (a: number, b: number) => `${significant(a, 3)} … ${significant(b, 3)}`;
  return `the checkpoint was quantised on inputs of ${range(from, to)}, those of this run are ${range(least, most)}: were they normalised in another way (--mean, --std)?`;
}
