// Labels: which layer a node belongs to, in the graph, through differentiation and in what is thrown.

import { expect, test } from 'vitest';
import { openDataset } from '../../src/data/registry.ts';
import { gradients } from '../../src/engine/graph/gradients.ts';
import { concerning, Graph } from '../../src/engine/graph/graph.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { feedOf } from '../../src/train/feed.ts';
import { imageTask } from '../../src/train/images.ts';
import { trainingStep } from '../../src/train/step.ts';

test('the innermost of open labels counts, and the outer one afterwards, even behind an error', () => {
  const graph = new Graph();
  const x = graph.input('x', [2]);
  graph.labelled('block', () => {
    graph.labelled('block.layer', () => graph.apply1('relu', [x], {}));
    expect(() => graph.labelled('block.wrong', () => graph.apply1('bias', [x, graph.input('b', [3])], {}))).toThrow(
      /^block.wrong: bias: /,
    );
    graph.apply1('relu', [x], {});
  });
  graph.apply1('relu', [x], {});
  expect(graph.nodes.map(({ label }) => label)).toEqual(['block.layer', 'block', '']);
});

test('gradients have the label of what they differentiate, whatever is open', () => {
  const graph = new Graph();
  const w = graph.variable('w', [3]);
  const y = graph.labelled('first', () => graph.apply1('relu', [w], {}));
  const loss = graph.labelled('second', () => graph.apply1('sum', [y], {}));
  graph.labelled('optimiser', () =>
    gradients(
      graph.labelled('third', () => graph.apply1('dot', [y, w], {})),
      [w],
    ),
  );
  expect(loss.shape).toEqual([]);
  const added = graph.nodes.slice(3).map(({ op, label }) => [op, label]);
  expect(added).toEqual([
    ['scaleBy', 'third'],
    ['scaleBy', 'third'],
    ['reluGradient', 'first'],
    ['add', 'first'],
  ]);
});

test('an internal error says which layer it is about', () => {
  const fault = () => {
    throw new Error('internal: 300 shares');
  };
  expect(() => concerning({ label: 'conv1' }, fault)).toThrow('internal: conv1: 300 shares');
  expect(() => concerning({ label: '' }, fault)).toThrow('internal: 300 shares');
});

test('every node of a training step but those between layers has a label', async () => {
  const digits = await openDataset('digits');
  const task = imageTask(findModel('resnet8'), digits);
  const session = await referenceBackend().openSession();
  const { graph, layers } = trainingStep(
    {
      task,
      arithmetic: { kind: 'float' },
      momentum: 0,
      weightDecay: 0,
    },
    feedOf(session, task, digits.train),
    4,
  );
  const names = new Set(layers.parameters.map(({ name }) => name.replace(/\.\w+$/, '')));
  const between = new Set(['relu', 'reluGradient', 'averagePool', 'averagePoolGradient', 'reshape']);
  for (const { op, label } of graph.nodes) {
    if (label === '') expect(between.has(op), op).toBe(true);
    else if (op === 'sgd') expect(label).toBe('optimiser');
    else if (op.startsWith('softmax')) expect(label).toBe('loss');
    else if (op.startsWith('image')) expect(label).toBe('images');
    else expect(names.has(label) || /^layer\d\.\d$/.test(label), `${op} ${label}`).toBe(true);
  }
});
