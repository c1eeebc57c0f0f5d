// A run that is stopped again and again, for tests that it ends with the same bits as one that was left alone.

import { expect } from 'vitest';
import { type FlowOptions, runFlow } from '../../src/flow/flow.ts';

/** Stops the run behind each of so many training steps, then lets it go on to its end. */
export async function runInParts(options: FlowOptions, steps: readonly number[]): Promise<void> {
  for (const count of steps) {
    const controller = new AbortController();
    let left = count;
    const listener: FlowOptions['listener'] = (event) =>
      void (event.kind === 'step' && --left === 0 && controller.abort());
    await expect(runFlow({ ...options, listener, signal: controller.signal })).rejects.toThrow(/abort/i);
  }
  await runFlow(options);
}
