import { describe, expect, test } from 'vitest';
import type { Manifest } from '../run/manifest.ts';
import { type NetworkNode, networkGraph } from './network-graph.ts';

/** What the graph of a manifest is made from. */
function manifestOf(model: string, image = { height: 32, width: 32, channels: 3 }): Manifest {
  const data = { image, classes: 10, scale: 255, mean: [0.5, 0.5, 0.5], deviation: [1, 1, 1] };
  const layers = [{ name: 'conv1', macs: 1 }];
  return { configuration: { model }, inputs: { data, layers } } as unknown as Manifest;
}

const of = (nodes: readonly NetworkNode[], kind: NetworkNode['kind']) => nodes.filter((node) => node.kind === kind);

describe('the network as a graph', () => {
  test('a residual block joins what it began with and what its last layer gives', () => {
    const { nodes, withoutEdges } = networkGraph(manifestOf('resnet8'));
    expect(withoutEdges).toBeNull();
    const named = (from: readonly number[]) => from.map((at) => nodes[at]!.name);
    const [first, second] = of(nodes, 'add');
    expect([first!.name, named(first!.from)]).toEqual(['layer1.0', ['layer1.0.conv2', 'conv1']]);
    expect(named(second!.from)).toEqual(['layer2.0.conv2', 'layer2.0.downsample.0']);
    expect(of(nodes, 'convolution')).toHaveLength(9);
    expect(of(nodes, 'pool')).toHaveLength(1);
    expect(nodes.at(-1)).toMatchObject({ kind: 'linear', name: 'fc', shape: [1, 1, 10] });
    const downsample = nodes.find(({ name }) => name === 'layer2.0.downsample.0')!;
    expect(downsample).toMatchObject({ detail: '1×1, stride 2', shape: [16, 16, 32] });
  });

  test.each(['googlenet', 'mobilenet_v2', 'deit_tiny_patch4_32'])(
    '%s: every node but the image comes of others',
    (model) => {
      const { nodes } = networkGraph(manifestOf(model));
      nodes.forEach(({ from, kind }, at) => {
        expect(from.length > 0).toBe(at > 0);
        for (const before of from) expect(before).toBeLessThan(at);
        if (kind === 'add' || kind === 'concat') expect(from.length).toBeGreaterThan(1);
      });
      // Nothing that is computed is lost on the way to the logits.
      const used = new Set(nodes.flatMap(({ from }) => from));
      expect(nodes.flatMap((_, at) => (used.has(at) ? [] : [at]))).toEqual([nodes.length - 1]);
    },
  );

  test('branches are joined by a concatenation, attention by two products', () => {
    expect(of(networkGraph(manifestOf('googlenet')).nodes, 'concat')).toHaveLength(9);
    const { nodes } = networkGraph(manifestOf('deit_tiny_patch4_32'));
    expect(of(nodes, 'product')).toHaveLength(24);
    expect(of(nodes, 'add')).toHaveLength(24);
  });

  test('the file of a user is not run: its layers alone', () => {
    const { nodes, withoutEdges } = networkGraph(manifestOf('/nowhere/mine.mjs'));
    expect(nodes.map(({ name }) => name)).toEqual(['conv1']);
    expect(withoutEdges).toContain('not run');
  });
});
