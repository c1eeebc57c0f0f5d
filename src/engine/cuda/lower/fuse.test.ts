import { describe, expect, test } from 'vitest';
import { gradients } from '../../graph/gradients.ts';
import { Graph, type Node, type Value } from '../../graph/graph.ts';
import type { Granularity } from '../../graph/ops.ts';
import { plan } from '../../graph/plan.ts';
import { square, squareWindow } from '../../graph/window.ts';
import { type Abilities, codesBehind, fuse, pooledBehind, tapsBetween } from './fuse.ts';

const attributes = { epsilon: 1e-5 };
const sum = { alpha: 1, beta: 1 };

/**
 * A graph with an image, its batch norm, and what `rest` makes of both; with gradients of everything where `trained`.
 */
function graphWith(rest: (graph: Graph, y: Value, x: Value) => Value, trained = true): Graph {
  const graph = new Graph();
  const image = graph.input('image', [2, 4, 4, 8]);
  const x = graph.apply1('affine', [image], { scale: 2, offset: 0 });
  const scales = [graph.variable('gamma', [8]), graph.variable('beta', [8])];
  const [y] = graph.apply('batchNorm', [x, ...scales], attributes);
  const end = rest(graph, y!, x);
  const loss = graph.apply1('dot', [end, end], {});
  graph.output('loss', loss);
  if (!trained) return graph;
  gradients(loss, [image, ...scales]).forEach((slope, at) => {
    graph.output(`slope${at}`, slope!);
  });
  return graph;
}

const opsOf = (graph: Graph): string[] => fuse(plan(graph)).map(({ node }) => node.op);
const relu = (graph: Graph, value: Value): Value => graph.apply1('relu', [value], {});

describe('batch norm with a relu', () => {
  const steps = fuse(plan(graphWith(relu)));

  test('is normalised where the relu was, and its gradient is that of both', () => {
    const ops = steps.map(({ node }) => node.op);
    expect(ops.slice(0, 4)).toEqual(['affine', 'moments', 'normalize', 'dot']);
    expect(ops).toContain('rectifiedGradient');
    expect(ops.filter((op) => op.startsWith('relu') || op.startsWith('batchNorm'))).toEqual([]);
  });

  test('reads what both read and writes what the last of them writes', () => {
    const [, moments, normalize] = steps;
    expect(moments!.node.outputs.map(({ shape }) => shape)).toEqual([[8], [8]]);
    expect(moments!.outputs).toHaveLength(2);
    expect(normalize!.node.inputs).toHaveLength(5);
    expect(normalize!.inputs.slice(3)).toEqual(moments!.outputs);
    const gradient = steps.find(({ node }) => node.op === 'rectifiedGradient')!;
    expect(gradient.inputs).toHaveLength(6);
    expect(gradient.inputs[5]).toEqual({ region: 'variable', name: 'beta' });
  });
});

test('a relu with a limit joins both ways, and keeps it', () => {
  const steps = fuse(plan(graphWith((graph, y) => graph.apply1('relu', [y], { limit: 6 }))));
  const attributesOf = (op: string) => steps.find(({ node }) => node.op === op)?.node.attributes;
  expect(attributesOf('normalize')).toEqual({ epsilon: 1e-5, relu: { limit: 6 } });
  expect(attributesOf('rectifiedGradient')).toEqual({ epsilon: 1e-5, limit: 6 });
});

test('an addition joins, with the relu behind it or without', () => {
  const added = (graph: Graph, y: Value, x: Value) => graph.apply1('add', [y, x], sum);
  expect(opsOf(graphWith(added)).slice(0, 4)).toEqual(['affine', 'moments', 'normalize', 'dot']);
  const steps = fuse(plan(graphWith((graph, y, x) => relu(graph, added(graph, y, x)))));
  expect(steps.slice(0, 4).map(({ node }) => node.op)).toEqual(['affine', 'moments', 'normalize', 'dot']);
  expect(steps[2]!.inputs[5]).toEqual(steps[0]!.outputs[0]);
});

test('of two batch norms that are added one takes the addition', () => {
  const ops = opsOf(
    graphWith((graph, y, x) => {
      const scales = ['gamma2', 'beta2'].map((name) => graph.variable(name, [8]));
      return relu(graph, graph.apply1('add', [y, graph.apply1('batchNorm', [x, ...scales], attributes)], sum));
    }),
  );
  expect(ops.slice(0, 5)).toEqual(['affine', 'moments', 'batchNorm', 'normalize', 'dot']);
});

test('nothing joins where the value between is read elsewhere, or where an operand is gone by then', () => {
  const twice = graphWith((graph, y) => graph.apply1('add', [relu(graph, y), y], sum));
  expect(opsOf(twice)).toContain('batchNorm');
  expect(opsOf(twice)).toContain('batchNormGradient');
  expect(opsOf(graphWith(relu, false))).toEqual(['affine', 'batchNorm', 'relu', 'dot']);
  const weighted = graphWith((graph, y, x) => graph.apply1('add', [y, x], { alpha: 1, beta: 0.5 }));
  expect(opsOf(weighted)).toContain('batchNorm');
});

describe('batch norm with given statistics', () => {
  /** As a network is evaluated: what is normalised is read by nothing else, so that it is normalised in place. */
  const opsWith = (rest: (graph: Graph, y: Value, other: Value) => Value, keep = false) => {
    const graph = new Graph();
    const images = ['image', 'other'].map((name) => graph.input(name, [2, 4, 4, 8]));
    const [x, other] = images.map((image) => graph.apply1('affine', [image], { scale: 2, offset: 0 }));
    const given = ['gamma', 'beta', 'mean', 'variance'].map((name) => graph.variable(name, [8]));
    const end = rest(graph, graph.apply1('batchNormInference', [x!, ...given], attributes), other!);
    graph.output('end', graph.apply1('dot', [end, end], {}));
    if (keep) graph.output('x', x!);
    return fuse(plan(graph));
  };
  const added = (graph: Graph, y: Value, other: Value) => graph.apply1('add', [y, other], sum);
  const names = (steps: ReturnType<typeof opsWith>) => steps.map(({ node }) => node.op).filter((op) => op !== 'affine');

  test('joins a relu, an addition, or both, in place or not', () => {
    for (const keep of [false, true]) {
      expect(names(opsWith(relu, keep))).toEqual(['normalize', 'dot']);
      expect(names(opsWith(added, keep))).toEqual(['normalize', 'dot']);
      const both = opsWith((graph, y, other) => relu(graph, added(graph, y, other)), keep);
      expect(names(both)).toEqual(['normalize', 'dot']);
      const normalize = both.find(({ node }) => node.op === 'normalize')!;
      expect(normalize.node.inputs.map(({ shape }) => shape)).toEqual([[2, 4, 4, 8], [8], [8], [8], [8], [2, 4, 4, 8]]);
      expect(normalize.inputs.slice(1, 5).map((place) => 'name' in place && place.name)).toEqual([
        ...['gamma', 'beta', 'mean', 'variance'],
      ]);
    }
  });

  test('joins nothing where what lies between is read elsewhere, or where a statistic moves before', () => {
    expect(names(opsWith((graph, y) => added(graph, relu(graph, y), y)))).toContain('batchNormInference');
    const moved = opsWith((graph, y) => {
      const mean = graph.variables.get('mean')!;
      graph.assign(mean, graph.apply1('affine', [mean], { scale: 0.5, offset: 0 }));
      return relu(graph, y);
    });
    expect(names(moved)).toEqual(['batchNormInference', 'relu', 'dot']);
  });
});

test('nothing joins where an offset moves before the last of the steps', () => {
  /** `early`: in front of the relu. The gradient reads gamma itself, beta only where it joins. */
  const moving = (early: boolean) =>
    graphWith((graph, y) => {
      const before = early ? y : relu(graph, y);
      const beta = graph.variables.get('beta')!;
      graph.assign(beta, graph.apply1('affine', [beta], { scale: 0.5, offset: 0 }));
      return early ? relu(graph, before) : before;
    });
  expect(opsOf(moving(true)).slice(0, 4)).toEqual(['affine', 'batchNorm', 'affine', 'relu']);
  const late = opsOf(moving(false));
  expect(late.slice(0, 3)).toEqual(['affine', 'moments', 'normalize']);
  for (const ops of [late, opsOf(moving(true))]) expect(ops).toContain('batchNormGradient');
});

test('an addition joins at the end of a program', () => {
  const graph = new Graph();
  const x = graph.input('x', [2, 4, 4, 8]);
  const scales = [graph.variable('gamma', [8]), graph.variable('beta', [8])];
  const [y, ...moments] = graph.apply('batchNorm', [x, ...scales], attributes);
  moments.forEach((moment, at) => {
    graph.output(`moment${at}`, moment);
  });
  graph.output('y', graph.apply1('add', [y!, x], sum));
  expect(opsOf(graph)).toEqual(['moments', 'normalize']);
});

describe('running averages of the statistics of a batch norm', () => {
  const share = { alpha: 0.9, beta: 0.1 };
  /** A batch norm with a relu behind it; `swapped`: the averages are the second operands of their sums. */
  function averaged({ swapped = false, between = false, read = false } = {}): Graph {
    const graph = new Graph();
    const x = graph.apply1('affine', [graph.input('image', [2, 4, 4, 8])], { scale: 2, offset: 0 });
    const scales = [graph.variable('gamma', [8]), graph.variable('beta', [8])];
    const [y, ...moments] = graph.apply('batchNorm', [x, ...scales], attributes);
    if (between) graph.output('between', graph.apply1('affine', [x], { scale: 3, offset: 0 }));
    ['mean', 'variance'].forEach((name, at) => {
      const running = graph.variable(name, [8]);
      const operands = swapped ? [moments[at]!, running] : [running, moments[at]!];
      graph.assign(running, graph.apply1('add', operands, share));
      if (read) graph.output(name, graph.apply1('affine', [running], { scale: 2, offset: 0 }));
    });
    const end = relu(graph, y!);
    // As a backward pass does.
    for (const [name, [a, b]] of Object.entries({ y: [end, x], moments })) {
      graph.output(name, graph.apply1('dot', [a!, b!], {}));
    }
    return graph;
  }

  test('move in the step that forms them, in place', () => {
    const steps = fuse(plan(averaged()));
    expect(steps.map(({ node }) => node.op)).toEqual(['affine', 'moments', 'normalize', 'dot', 'dot']);
    const places = ['mean', 'variance'].map((name) => ({ region: 'variable', name }));
    expect(steps[1]!.inputs.slice(1)).toEqual(places);
    expect(steps[1]!.outputs.slice(2)).toEqual(places);
    expect(steps[1]!.node.attributes).toEqual({ ...attributes, averages: [share, share] });
  });

  test('keep their steps where these do not follow, where the old value is read later, and where operands are exchanged', () => {
    for (const apart of [{ between: true }, { read: true }, { swapped: true }]) {
      expect(opsOf(averaged(apart)).filter((op) => op === 'add')).toHaveLength(2);
    }
  });
});

describe('the statistics of a batch norm behind a convolution', () => {
  const share = { alpha: 0.9, beta: 0.1 };
  const geometry = square({ padding: 1 });
  interface Form {
    /** What stands behind the batch norm, and between it and the convolution. */
    readonly behind?: (graph: Graph, y: Value) => Value;
    readonly between?: (graph: Graph, y: Value) => Value;
    readonly averaged?: boolean;
    /** The variable that is added to what is normalised. */
    readonly added?: string;
  }
  function convolved({ behind = relu, between = (_, y) => y, averaged = true, added = 'beta' }: Form = {}): Graph {
    const graph = new Graph();
    const x = graph.apply1('affine', [graph.input('image', [2, 4, 4, 8])], { scale: 2, offset: 0 });
    const scales = [graph.variable('gamma', [8]), graph.variable(added, [8])];
    const product = graph.labelled('conv1', () =>
      graph.apply1('conv2d', [x, graph.variable('w', [3, 3, 8, 8])], geometry),
    );
    const [y, ...moments] = graph.apply('batchNorm', [between(graph, product), ...scales], attributes);
    ['mean', 'variance'].forEach((name, at) => {
      if (!averaged) return;
      const running = name === added ? scales[1]! : graph.variable(name, [8]);
      graph.assign(running, graph.apply1('add', [running, moments[at]!], share));
    });
    const end = behind(graph, y!);
    // As a backward pass does.
    for (const [name, [a, b]] of Object.entries({ y: [end, product], moments, x: [x, x] })) {
      graph.output(name, graph.apply1('dot', [a!, b!], {}));
    }
    return graph;
  }
  const formsMoments: Abilities = ({ op }) =>
    op === 'conv2d' ? { formsMoments: { way: 'any', aspects: {} }, workspaceBytes: 10_000 } : {};
  const workspaceBytes = (node: Node) => formsMoments(node).workspaceBytes ?? 0;
  const planOf = (form?: Form, reuseDistance = 32) => plan(convolved(form), { workspaceBytes, reuseDistance });
  const opsWith = (form?: Form, abilities = formsMoments) => fuse(planOf(form), abilities).map(({ node }) => node.op);
  const inVariable = (name: string) => ({ region: 'variable', name });

  test('are formed by its step, in its workspace, with the averages that they move', () => {
    const planned = planOf();
    const [, product, norm] = planned.steps;
    const [, measured, normalize, ...others] = fuse(planned, formsMoments);
    expect([measured!.node.op, normalize!.node.op]).toEqual(['measuredConv2d', 'normalize']);
    expect(others.map(({ node }) => node.op)).toEqual(['dot', 'dot', 'dot']);
    expect(measured!.node.attributes).toEqual({ ...geometry, averages: [share, share] });
    expect(measured!.node.label).toBe('conv1');
    expect(measured!.inputs).toEqual([...product!.inputs, inVariable('mean'), inVariable('variance')]);
    expect(measured!.outputs).toEqual([
      ...[...product!.outputs, ...norm!.outputs.slice(1)],
      ...[inVariable('mean'), inVariable('variance')],
    ]);
    expect(measured!.workspace).toEqual(product!.workspace);
    expect(normalize!.inputs.slice(3)).toEqual(norm!.outputs.slice(1));
  });

  test('are formed there, too, where nothing joins behind the batch norm', () => {
    const behind = (_: Graph, y: Value) => y;
    const planned = planOf({ behind });
    const [, measured, normalize, ...others] = fuse(planned, formsMoments);
    expect([measured!.node.op, normalize!.node.op]).toEqual(['measuredConv2d', 'batchNormInference']);
    expect(others.map(({ node }) => node.op)).toEqual(['dot', 'dot', 'dot']);
    const norm = planned.steps[2]!;
    expect(normalize!.inputs).toEqual([...norm.inputs, ...norm.outputs.slice(1)]);
    expect(normalize!.outputs).toEqual(norm.outputs.slice(0, 1));
    expect(opsWith({ behind, averaged: false }).slice(1, 3)).toEqual(['measuredConv2d', 'batchNormInference']);
  });

  test('keep their step where the kernel cannot form them or the batch norm is not of its output at once', () => {
    const twice = (graph: Graph, y: Value) => graph.apply1('affine', [y], { scale: 2, offset: 0 });
    const renamed = (graph: Graph, y: Value) => graph.apply1('reshape', [y], { shape: [32, 8] });
    const apart = [
      opsWith({}, () => ({})),
      opsWith({ between: twice }),
      opsWith({
        between: renamed,
        behind: (graph, y) => relu(graph, graph.apply1('reshape', [y], { shape: [2, 4, 4, 8] })),
      }),
      // Another step comes between.
      opsWith({
        between: (graph, y) => {
          graph.output('between', graph.apply1('sum', [y], {}));
          return y;
        },
      }),
    ];
    for (const ops of apart) {
      expect(ops).toContain('conv2d');
      expect(ops).not.toContain('measuredConv2d');
    }
  });

  test('keep their step where an average that they move is what the batch norm adds', () => {
    const behind = (_: Graph, y: Value) => y;
    const ops = opsWith({ behind, added: 'mean' });
    expect(ops.slice(1, 5)).toEqual(['conv2d', 'batchNorm', 'add', 'add']);
  });

  test('keep their step where they lie over what the convolution still uses', () => {
    expect(opsWith()).toContain('measuredConv2d');
    const ops = fuse(planOf({}, 0), formsMoments).map(({ node }) => node.op);
    expect(ops.slice(0, 4)).toEqual(['affine', 'conv2d', 'moments', 'normalize']);
  });
});

describe('the gradient of a range', () => {
  function gradient(rest: (graph: Graph, slope: Value, other: Value) => Value): Graph {
    const graph = new Graph();
    const x = graph.input('x', [64]);
    const other = graph.apply1('affine', [x], { scale: 2, offset: 0 });
    const range = graph.apply('minMax', [x], { granularity: 'tensor' });
    const given = ['low', 'high'].map((name) => graph.input(name, []));
    const slope = graph.apply1('minMaxGradient', [...given, x, ...range], { granularity: 'tensor' });
    const end = rest(graph, slope, other);
    graph.output('y', graph.apply1('dot', [end, end], {}));
    return graph;
  }

  test('is added to what lies beside it in one step, in the place of the sum', () => {
    for (const exchanged of [false, true]) {
      const graph = gradient((graph, slope, other) =>
        graph.apply1('add', exchanged ? [slope, other] : [other, slope], sum),
      );
      const planned = plan(graph);
      const steps = fuse(planned);
      expect(steps.map(({ node }) => node.op)).toEqual(['affine', 'minMax', 'addedRangeGradient', 'dot']);
      expect(steps[2]!.inputs[5]).toEqual(steps[0]!.outputs[0]);
      expect(steps[2]!.outputs).toEqual(planned.steps[3]!.outputs);
    }
  });

  test('keeps its step where it is read twice, weighted, or what it is added to is needed later', () => {
    const apart = [
      (graph: Graph, slope: Value, other: Value) =>
        graph.apply1('add', [graph.apply1('add', [other, slope], sum), slope], sum),
      (graph: Graph, slope: Value, other: Value) => graph.apply1('add', [other, slope], { alpha: 1, beta: 2 }),
    ];
    for (const rest of apart) expect(opsOf(gradient(rest))).toContain('minMaxGradient');
  });
});

describe('the range of an activation', () => {
  /** Moving averages of the extremes of x and the scale that they give, as a quantiser in training has them. */
  function quantizer(shape: readonly number[], betas: readonly number[], holdsZero = false): Graph {
    const graph = new Graph();
    const x = graph.apply1('affine', [graph.input('x', shape)], { scale: 2, offset: 0 });
    graph.output('codes', quantized(graph, x, betas, holdsZero));
    return graph;
  }
  function quantized(graph: Graph, x: Value, betas: readonly number[], holdsZero = false): Value {
    const extremes = graph.apply('minMax', [x], { granularity: 'tensor', holdsZero });
    const moved = ['min', 'max'].map((name, at) => {
      const running = graph.variable(name, []);
      const next = graph.apply1('add', [running, extremes[at]!], { alpha: 0.9, beta: betas[at]! });
      graph.assign(running, next);
      return next;
    });
    const logits = ['upper', 'lower'].map((name) => graph.variable(name, []));
    const [scale, zero] = graph.apply('clipScale', [...moved, ...logits], { bits: 8 });
    return graph.apply1('quantize', [x, scale!, zero!], { bits: 8, granularity: 'tensor' });
  }
  const inVariable = (name: string) => ({ region: 'variable', name });

  test('moves its averages and gives the scale in one step', () => {
    const steps = fuse(plan(quantizer([4, 8], [0.1, 0.1])));
    expect(steps.map(({ node }) => node.op)).toEqual(['affine', 'movingRange', 'quantize']);
    const { inputs, outputs } = steps[1]!;
    expect(inputs.slice(1)).toEqual(['min', 'max', 'upper', 'lower'].map(inVariable));
    expect(outputs.slice(0, 2)).toEqual(['min', 'max'].map(inVariable));
    expect(steps[2]!.inputs.slice(1)).toEqual(outputs.slice(2));
  });

  test('holds zero where the range does', () => {
    for (const holdsZero of [false, true]) {
      const joined = fuse(plan(quantizer([4, 8], [0.1, 0.1], holdsZero)))[1]!;
      expect(joined.node.attributes).toMatchObject({ holdsZero });
    }
  });

  test('moves where a norm makes the tensor, if what that reads lives on', () => {
    const normalized = (isHeld: boolean) =>
      graphWith((graph, y, x) => {
        const other = graph.apply1('affine', [x], { scale: 3, offset: 0 });
        const end = relu(graph, graph.apply1('add', [y, other], sum));
        graph.output('codes', quantized(graph, end, [0.1, 0.1]));
        if (isHeld) graph.output('other', graph.apply1('affine', [other], { scale: 2, offset: 0 }));
        graph.output('beta', graph.apply1('affine', [graph.variable('beta', [8])], { scale: 2, offset: 0 }));
        return end;
      });
    const steps = fuse(plan(normalized(true)));
    expect(steps.slice(0, 5).map(({ node }) => node.op)).toEqual([
      ...['affine', 'moments', 'affine', 'rangedNormalize', 'quantize'],
    ]);
    const [, , other, joined, quantize] = steps;
    expect(joined!.inputs[5]).toEqual(other!.outputs[0]);
    expect(joined!.inputs.slice(6)).toEqual(['min', 'max', 'upper', 'lower'].map(inVariable));
    expect(joined!.outputs.slice(1, 3)).toEqual(['min', 'max'].map(inVariable));
    expect(quantize!.inputs).toEqual([joined!.outputs[0], ...joined!.outputs.slice(3)]);
    expect(opsOf(normalized(false)).slice(0, 5)).toEqual([
      ...['affine', 'moments', 'affine', 'normalize', 'movingRange'],
    ]);
  });

  test('stays apart where the averages differ or the tensor is not made of fours', () => {
    expect(opsOf(quantizer([4, 8], [0.1, 0.2]))).toContain('minMax');
    expect(opsOf(quantizer([3, 5], [0.1, 0.1]))).toContain('minMax');
  });
});

describe('the gradient of weights over the values of codes', () => {
  const geometry = square({ padding: 1 });
  /** `again`: what else reads the values. */
  function gradient({ granularity = 'tensor' as Granularity, again = false } = {}): Graph {
    const graph = new Graph();
    const size = granularity === 'tensor' ? [] : [8];
    const [scale, zero] = ['scale', 'zero'].map((name) => graph.input(name, size));
    const image = graph.apply1('affine', [graph.input('image', [2, 4, 4, 8])], { scale: 2, offset: 0 });
    const codes = graph.apply1('quantize', [image, scale!, zero!], { bits: 8, granularity });
    const x = graph.apply1('dequantize', [codes, scale!, zero!], { granularity });
    const g = graph.apply1('affine', [image], { scale: 3, offset: 0 });
    graph.output('dw', graph.apply1('conv2dWeightGradient', [x, g], { ...geometry, weightShape: [3, 3, 8, 8] }));
    if (again) graph.output('sum', graph.apply1('sum', [x], {}));
    return graph;
  }
  const ofKernel = ({ op }: Node) => ({ readsCodes: op === 'conv2dWeightGradient' });
  const stepsOf = (graph: Graph, abilities: Abilities = ofKernel) =>
    fuse(plan(graph, { alsoReads: (node) => (abilities(node).readsCodes ? codesBehind(node) : []) }), abilities);

  test('reads the codes, which nothing takes the place of before', () => {
    const steps = stepsOf(gradient());
    expect(steps.map(({ node }) => node.op)).toEqual(['affine', 'quantize', 'affine', 'weightGradientOfCodes']);
    const [, quantize, g, last] = steps;
    expect(last!.inputs).toEqual([quantize!.outputs[0], ...quantize!.inputs.slice(1), g!.outputs[0]]);
    expect(g!.outputs[0]).not.toEqual(quantize!.outputs[0]);
  });

  test('stays apart where the kernel cannot, where the values are read elsewhere, and with scales of channels', () => {
    const apart = [
      stepsOf(gradient(), () => ({})),
      stepsOf(gradient({ again: true })),
      stepsOf(gradient({ granularity: 'channel' })),
      // The codes may be gone.
      fuse(plan(gradient()), ofKernel),
    ];
    for (const steps of apart) {
      const ops = steps.map(({ node }) => node.op);
      expect([ops.includes('dequantize'), ops.includes('conv2dWeightGradient')]).toEqual([true, true]);
    }
  });
});

describe('a bias behind a product', () => {
  interface Form {
    readonly op?: 'conv2d' | 'axmConv2d';
    /** What reads product and bias, and gives what the loss is of. */
    readonly rest?: (graph: Graph, y: Value, bias: Value) => Value;
  }
  const twice = (graph: Graph, x: Value) => graph.apply1('affine', [x], { scale: 2, offset: 0 });
  const biased = (graph: Graph, y: Value, bias: Value) => graph.apply1('bias', [y, bias], {});
  function product({ op = 'conv2d', rest = biased }: Form = {}): Graph {
    const graph = new Graph();
    const bias = graph.variable('bias', [8]);
    const dtype = op === 'conv2d' ? 'f32' : 'u8';
    const operands = [graph.input('x', [2, 4, 4, 8], dtype), graph.input('w', [1, 1, 8, 8], dtype)];
    const scalars = ['xScale', 'xZero'].map((name) => graph.input(name, []));
    const vectors = ['wScale', 'wZero'].map((name) => graph.input(name, [8]));
    const widths = { weightBits: 8, activationBits: 8, error: { kind: 'none' } } as const;
    const y = graph.labelled('conv1', () =>
      op === 'conv2d'
        ? graph.apply1(op, operands, square())
        : graph.apply1(op, [...operands, ...scalars, ...vectors], { ...square(), ...widths }),
    );
    const end = rest(graph, y, bias);
    graph.output('loss', graph.apply1('dot', [end, end], {}));
    return graph;
  }
  const takesBias: Abilities = ({ op }) => ({ takesBias: op === 'conv2d' || op === 'axmConv2d' });
  const workspaceBytes = ({ op }: Node) => (op === 'conv2d' || op === 'axmConv2d' ? 1000 : 0);

  test('is added by the product, in its step, workspace and layer', () => {
    for (const [op, joined] of [
      ['conv2d', 'biasedConv2d'],
      ['axmConv2d', 'biasedAxmConv2d'],
    ] as const) {
      const planned = plan(product({ op }), { workspaceBytes });
      const [before] = planned.steps;
      const [step, ...others] = fuse(planned, takesBias);
      expect([step!.node.op, ...others.map(({ node }) => node.op)]).toEqual([joined, 'dot']);
      expect(step!.inputs).toEqual([...before!.inputs, { region: 'variable', name: 'bias' }]);
      expect(step!.node.inputs).toEqual([...before!.node.inputs, planned.steps[1]!.node.inputs[1]]);
      expect(step!.outputs).toEqual(planned.steps[1]!.outputs);
      expect(step!.node.outputs).toEqual(planned.steps[1]!.node.outputs);
      expect(step!.workspace).toEqual(before!.workspace);
      expect(step!.node.label).toBe('conv1');
    }
  });

  test('is added though its variable moves later, with the value from before', () => {
    const graph = product({
      rest: (graph, y, bias) => {
        const end = biased(graph, y, bias);
        graph.assign(bias, twice(graph, bias));
        return end;
      },
    });
    expect(fuse(plan(graph), takesBias).map(({ node }) => node.op)).toEqual(['biasedConv2d', 'affine', 'dot']);
  });

  test('stays apart where the kernel cannot add it, it is not in place, the product is read elsewhere, or it comes later', () => {
    const opsOf = (form: Form, abilities = takesBias) =>
      fuse(plan(product(form)), abilities).map(({ node }) => node.op);
    const apart = [
      opsOf({}, () => ({})),
      opsOf({
        rest: (graph, y, bias) => {
          const end = biased(graph, y, bias);
          graph.output('y', end);
          return end;
        },
      }),
      opsOf({ rest: (graph, y, bias) => graph.apply1('add', [biased(graph, y, bias), y], sum) }),
      ...[(graph: Graph, y: Value) => graph.apply1('sum', [y], {}), (_: Graph, y: Value) => y].map((read) =>
        opsOf({
          rest: (graph, y, bias) => {
            graph.output('read', read(graph, y));
            return biased(graph, y, bias);
          },
        }),
      ),
      opsOf({ rest: (graph, y, bias) => biased(graph, y, twice(graph, bias)) }),
      // By name another tensor, with other channels.
      opsOf({ rest: (graph, y, bias) => biased(graph, graph.apply1('reshape', [y], { shape: [4, 8, 8] }), bias) }),
      opsOf({ rest: (graph, y, bias) => biased(graph, relu(graph, y), bias) }),
    ];
    for (const ops of apart) {
      expect(ops).toContain('conv2d');
      expect(ops).toContain('bias');
    }
  });
});

describe('a max pool', () => {
  const pooled = (trained: boolean) => {
    const graph = new Graph();
    const image = graph.input('image', [2, 6, 6, 8]);
    const x = graph.apply1('affine', [image], { scale: 2, offset: 0 });
    const y = graph.apply1('maxPool', [x], squareWindow(3, 2, 1));
    const loss = graph.apply1('dot', [y, y], {});
    graph.output('loss', loss);
    if (trained) graph.output('slope', gradients(loss, [image])[0]!);
    return graph;
  };
  const planned = (trained: boolean) => plan(pooled(trained), { handed: tapsBetween });

  test('hands the taps of its maxima to its gradient, which reads nothing else of the image', () => {
    const steps = fuse(planned(true));
    const [pool, gradient] = ['maxPoolWithTaps', 'maxPoolGradientOfTaps'].map(
      (op) => steps.find(({ node }) => node.op === op)!,
    );
    const [, taps] = pool!.node.outputs;
    expect(taps).toMatchObject({ dtype: 'u8', shape: [2, 3, 3, 8, 1] });
    expect(gradient!.node.inputs).toEqual([expect.anything(), taps]);
    expect(gradient!.inputs[1]).toEqual(pool!.outputs[1]);
  });

  test('without a gradient, or with one that no plan hands them, remains', () => {
    expect(fuse(planned(false)).map(({ node }) => node.op)).toContain('maxPool');
    expect(fuse(plan(pooled(true))).map(({ node }) => node.op)).toEqual(
      expect.arrayContaining(['maxPool', 'maxPoolGradient']),
    );
  });
});

describe('a max pool behind batch norm and a relu', () => {
  const window = squareWindow(3, 2, 1);
  /** `beside`: what else reads the relu's output, or that of the pool's gradient. */
  const opsWith = (pool = window, beside?: 'relu' | 'slope', bound = {}) => {
    const graph = graphWith((graph, y) => {
      const x = graph.apply1('relu', [y], bound);
      if (beside === 'relu') graph.output('relu', x);
      return graph.apply1('maxPool', [x], pool);
    });
    const slope = graph.nodes.find(({ op }) => op === 'maxPoolGradient')!.outputs[0]!;
    if (beside === 'slope') graph.output('slope', slope);
    const alsoReads = (node: Node) => pooledBehind(node).flatMap(({ inputs: [g] }) => [g!]);
    return fuse(plan(graph, { handed: tapsBetween, alsoReads })).map(({ node }) => node);
  };
  const names = (nodes: ReturnType<typeof opsWith>) => nodes.map(({ op }) => op as string);

  test('is one pass forward and two backward, without what lies between', () => {
    const nodes = opsWith();
    const [forward, backward] = ['normalizedMaxPool', 'pooledGradient'].map((name) =>
      nodes.find(({ op }) => op === name),
    );
    expect(names(nodes).slice(0, 4)).toEqual(['affine', 'moments', 'normalizedMaxPool', 'dot']);
    expect(names(nodes).filter((op) => /relu|normalize$|maxPool|rectified/.test(op))).toEqual([]);
    expect(forward!.inputs.map(({ shape }) => shape)).toEqual([[2, 4, 4, 8], [8], [8], [8], [8]]);
    expect(backward!.inputs.map(({ shape }) => shape)).toEqual([
      ...[
        [2, 2, 2, 8],
        [2, 2, 2, 8, 1],
        [2, 4, 4, 8],
      ],
      ...[[8], [8], [8], [8]],
    ]);
    expect(backward!.attributes).toEqual({ epsilon: 1e-5, relu: {}, pool: window });
  });

  test('keeps the limit of the relu', () => {
    const limits = opsWith(window, undefined, { limit: 6 }).map(({ attributes }) => attributes);
    expect(limits.filter((one) => 'relu' in one && one.relu?.limit === 6)).toHaveLength(2);
  });

  test('stores what something else reads', () => {
    expect(names(opsWith(window, 'relu'))).toEqual(
      expect.arrayContaining(['normalize', 'maxPoolWithTaps', 'pooledGradient']),
    );
    expect(names(opsWith(window, 'slope'))).toEqual(
      expect.arrayContaining(['normalizedMaxPool', 'maxPoolGradientOfTaps', 'rectifiedGradient']),
    );
  });

  test('has a gradient of its own where many windows overlap', () => {
    expect(names(opsWith(squareWindow(3, 1, 1)))).toEqual(
      expect.arrayContaining(['normalizedMaxPool', 'maxPoolGradientOfTaps', 'rectifiedGradient']),
    );
  });

  test('reads the gradient of its output only where that is still there', () => {
    const graph = graphWith((graph, y) => graph.apply1('maxPool', [relu(graph, y)], window));
    const ops = fuse(plan(graph, { handed: tapsBetween })).map(({ node }) => node.op);
    expect(ops).toEqual(expect.arrayContaining(['normalizedMaxPool', 'maxPoolGradientOfTaps', 'rectifiedGradient']));
  });
});
