// The optimisers against PyTorch's formulas in double precision, over ten steps of a quadratic loss on every backend
// that runs here; clipping, groups, and averages likewise.

import { expect, test } from 'vitest';
import type { Session } from '../engine/backend.ts';
import { Graph, type Value } from '../engine/graph/graph.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { wasmBackend } from '../engine/wasm/runtime/backend.ts';
import type { Manner } from '../quant/steps.ts';
import { f32 } from '../tensor/tensor.ts';
import { appendAverages, KEEP } from './average.ts';
import {
  appendUpdates,
  CORRECTIONS,
  corrections,
  groupsOf,
  isAdam,
  type OptimizerName,
  parseRate,
  type Rule,
} from './optimizer.ts';
import { keptAverage } from './schedule.ts';

const START = [0.5, -1.5, 2, -0.25, 1];
const SLOPES = [1, 0.1, -2, 3, 0.5];
/** The loss Σ p²/2 + Σ slope·p; its gradient is p + slope. */
const gradientOf = (p: readonly number[]) => p.map((value, k) => value + SLOPES[k]!);
const rateAt = (t: number) => 0.1 / t;

/** What becomes of gradients before a rule sees them. */
interface Limits {
  readonly clip?: number;
  readonly bound?: number;
  /** Whether the change is formed by itself and then added, as a variable with a manner has it. */
  readonly apart?: boolean;
}

/** torch.optim.SGD, Adam and AdamW, by their documentation. */
function expected(rule: Rule, steps: number, { clip, bound = Number.POSITIVE_INFINITY }: Limits) {
  const { optimizer = 'sgd', momentum, beta2 = 0.999, weightDecay } = rule;
  let p = [...START];
  const [m, v] = [p.map(() => 0), p.map(() => 0)];
  const average = p.map(() => 0);
  for (let t = 1; t <= steps; t++) {
    const rate = rateAt(t);
    const raw = gradientOf(p).map((g) => Math.min(bound, Math.max(-bound, g)));
    const norm = Math.sqrt(raw.reduce((sum, g) => sum + g * g, 0));
    const scale = clip === undefined ? 1 : Math.min(1, clip / (norm + 1e-6));
    p = p.map((value, k) => {
      const g = raw[k]! * scale + (optimizer === 'adamw' ? 0 : weightDecay * value);
      if (optimizer === 'sgd' || optimizer === 'nesterov') {
        m[k] = momentum * m[k]! + g;
        return value - rate * (optimizer === 'nesterov' ? g + momentum * m[k]! : m[k]!);
      }
      m[k] = momentum * m[k]! + (1 - momentum) * g;
      v[k] = beta2 * v[k]! + (1 - beta2) * g * g;
      const decayed = optimizer === 'adamw' ? value * (1 - rate * weightDecay) : value;
      const root = Math.sqrt(v[k]!) / Math.sqrt(1 - beta2 ** t) + 1e-8;
      return decayed - ((rate / (1 - momentum ** t)) * m[k]!) / root;
    });
    const keep = keptAverage(0.7, t);
    p.forEach((value, k) => {
      average[k] = keep * average[k]! + (1 - keep) * value;
    });
  }
  return { p, average };
}

async function trained(session: Session, rule: Rule, steps: number, { clip, bound, apart }: Limits) {
  const graph = new Graph();
  const p = graph.variable('p', [5]);
  const slopes = graph.constant(f32([5], SLOPES));
  const squares = graph.apply1('affine', [graph.apply1('dot', [p, p], {})], { scale: 0.5, offset: 0 });
  const loss = graph.apply1('add', [squares, graph.apply1('dot', [p, slopes], {})], { alpha: 1, beta: 1 });
  const added = (change: Value) => graph.apply1('add', [p, change], { alpha: 1, beta: 1 });
  const manner: Manner = { variable: p, gradient: (found) => found, moved: (change) => [[p, added(change)]] };
  const options = { clipGradient: clip, manners: apart ? [manner] : [] };
  appendUpdates(loss, [{ ...rule, variables: [p], rate: 'rate', bound }], options);
  appendAverages(graph, new Set());
  session.write('p', f32([5], START));
  const program = await session.compile(graph);
  for (let t = 1; t <= steps; t++) {
    program.write('rate', Float32Array.of(rateAt(t)));
    if (isAdam(rule)) program.write(CORRECTIONS, corrections(rule, t));
    program.write(KEEP, Float32Array.of(keptAverage(0.7, t)));
    await program.run();
  }
  const [own, average] = [(await session.read('p')).data, (await session.read('p#average')).data];
  return { p: Array.from(own), average: Array.from(average) };
}

const rules: [OptimizerName, Omit<Rule, 'optimizer'>, Limits][] = [
  ['sgd', { momentum: 0.9, weightDecay: 0.01 }, {}],
  ['sgd', { momentum: 0, weightDecay: 0 }, { clip: 0.5 }],
  // Most elements are beyond it at first.
  ['sgd', { momentum: 0.9, weightDecay: 0.01 }, { bound: 0.7 }],
  ['nesterov', { momentum: 0.8, weightDecay: 0 }, { bound: 0.7, clip: 0.9 }],
  ['nesterov', { momentum: 0.8, weightDecay: 0.02 }, {}],
  ['sgd', { momentum: 0.9, weightDecay: 0 }, { apart: true }],
  ['nesterov', { momentum: 0.8, weightDecay: 0 }, { apart: true }],
  ['adam', { momentum: 0.9, weightDecay: 0 }, { apart: true }],
  ['adam', { momentum: 0.9, weightDecay: 0.1 }, {}],
  ['adam', { momentum: 0.5, beta2: 0.9, weightDecay: 0 }, { clip: 0.3 }],
  ['adamw', { momentum: 0.9, weightDecay: 0.1 }, {}],
];
const backends = { reference: referenceBackend, wasm: () => wasmBackend({ threads: 1, poison: true }) };

test.each(Object.keys(backends) as (keyof typeof backends)[])(
  'ten steps on %s are those of the formulas',
  async (name) => {
    for (const [optimizer, numbers, limits] of rules) {
      const rule = { optimizer, ...numbers };
      const session = await backends[name]().openSession();
      const found = await trained(session, rule, 10, limits);
      const wanted = expected(rule, 10, limits);
      for (const what of ['p', 'average'] as const) {
        const far = Math.max(...found[what].map((value, k) => Math.abs(value - wanted[what][k]!)));
        expect(far, `${optimizer} ${what} ${JSON.stringify(limits)}`).toBeLessThan(2e-6);
      }
      // The rules differ by far more than that.
      expect(Math.abs(found.p[1]! - START[1]!)).toBeGreaterThan(1e-3);
      await session.dispose();
    }
  },
);

test('the first correction of Adam is exact where 1 − β in float32 would not be', () => {
  const [first, second] = corrections({ momentum: 0.9, weightDecay: 0 }, 1);
  expect(first).toBe(Math.fround(0.1));
  expect(second).toBe(Math.fround(0.001));
});

test('weights are grouped by rate and by whether they decay', () => {
  const graph = new Graph();
  const names = ['conv.weight', 'bn.weight', 'bn.bias', 'fc.weight', 'fc.bias', 'conv.input_clip_upper'];
  const variables = names.map((name) => graph.variable(name, [2]));
  const rule = { momentum: 0.9, weightDecay: 0.1 };
  const isWeight = (name: string) => name === 'conv.weight' || name === 'fc.weight';
  const all = groupsOf(variables, 'rate', rule, isWeight);
  expect(all).toHaveLength(1);
  expect(all[0]!.variables).toEqual(variables);
  const groups = groupsOf(
    variables,
    'rate',
    { ...rule, decayOf: 'weights', rates: ['fc.*=10', '*clip*=0.1', 'fc.bias=20'] },
    isWeight,
  );
  const told = groups.map(({ variables: own, rate, weightDecay }) => [
    own.map(({ source }) => (source.kind === 'variable' ? source.name : '')).join(' '),
    rate,
    weightDecay,
  ]);
  expect(told).toEqual([
    ['conv.weight', 'rate', 0.1],
    ['bn.weight bn.bias', 'rate', 0],
    ['fc.weight', 'rate×10', 0.1],
    ['fc.bias', 'rate×20', 0],
    ['conv.input_clip_upper', 'rate×0.1', 0],
  ]);
});

test.each(['fc=x', '=1', 'fc', 'a b=1', 'fc=-1', 'fc='])('the rate %j is none', (text) => {
  expect(parseRate(text)).toBeUndefined();
});
