// Measures a run's network anew at one of its stages, from the files of the run folder.

import { evaluator } from '../../train/evaluation.ts';
import type { StageResult } from '../run/stages.ts';
import { openStage, type StageOptions } from './opened.ts';

export interface EvaluateOptions extends StageOptions {
  /** Called with the number of images of each batch. */
  readonly onImages?: (images: number) => void;
}

export interface EvaluationResult extends StageResult {
  readonly images: number;
}

/**
 * Measures the network of a run on its test images, at a stage of the run; the run is only read. Throws a UserError.
 */
export async function evaluateRun(options: EvaluateOptions): Promise<EvaluationResult> {
  const { run, stage, arithmetic, session, recorded } = await openStage(options);
  try {
    const evaluate = await evaluator(session, run.task, arithmetic, run.dataset.test);
    const { loss, metrics, examples } = await evaluate(options.onImages);
    const known = recorded.find((result) => result.stage === stage);
    return { ...known, stage, accuracy: metrics.accuracy, loss, images: examples };
  } finally {
    await session.dispose();
    await run.backend.close?.();
  }
}
