// Resume points: whose they are.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Graph } from '../../engine/graph/graph.ts';
import { referenceBackend } from '../../engine/reference/backend.ts';
import { f32 } from '../../tensor/tensor.ts';
import { loadResumePoint, saveResumePoint } from './checkpoint.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-checkpoint-'));
afterAll(() => rmSync(parent, { recursive: true }));

test('a resume point is one of its phase and its settings alone', async () => {
  const session = await referenceBackend().openSession();
  const graph = new Graph();
  const value = graph.variable('a', [2]);
  graph.output('b', value);
  session.write('a', f32([2], [1, 2]));
  await session.compile(graph);
  const path = join(parent, 'resume.safetensors');
  const settings = (momentum: number) => JSON.stringify({ train: { momentum } });
  const position = { epoch: 1, step: 2, sums: { objective: 2, loss: 1, metrics: { accuracy: 4 }, targets: 6 } };
  await saveResumePoint(path, session, { phase: 'explore', settings: settings(0.9), position });
  session.write('a', f32([2], [7, 7]));
  const load = (phase: 'explore' | 'recover', momentum: number) =>
    loadResumePoint(path, session, { phase, settings: settings(momentum), epochs: 3, steps: 4 });
  expect(load('recover', 0.9)).toBeUndefined();
  expect(load('explore', 0.8)).toBeUndefined();
  // What is not taken has changed nothing.
  expect(Array.from((await session.read('a')).data)).toEqual([7, 7]);
  expect(load('explore', 0.9)).toEqual(position);
  expect(Array.from((await session.read('a')).data)).toEqual([1, 2]);
  // As versions until 0.2 wrote their sums.
  const sums = { loss: 2, crossEntropy: 1, correct: 4, images: 6 } as unknown as typeof position.sums;
  const old = { ...position, sums };
  await saveResumePoint(path, session, { phase: 'explore', settings: settings(0.9), position: old });
  expect(load('explore', 0.9)).toEqual(position);
  await session.dispose();
});
