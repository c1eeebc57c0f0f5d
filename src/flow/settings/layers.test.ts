import { describe, expect, test } from 'vitest';
import { square } from '../../engine/graph/window.ts';
import type { MultiplyingLayer } from '../../nn/layers.ts';
import { type ConfigurationInput, parseConfiguration } from './config.ts';
import { approximateLayers, layerWidths, usualLayers } from './layers.ts';
import { describeDifference, settingsOf } from './phases.ts';

const layer = (name: string, kind: MultiplyingLayer['kind'], macs: number): MultiplyingLayer => ({
  ...{ name, kind, macs, geometry: square(), weightShape: [1, 1, 1, 1] },
});
const convolutional = [
  layer('conv1', 'convolution', 100),
  layer('layer1.0.conv1', 'convolution', 100),
  layer('layer1.1.conv1', 'convolution', 100),
  layer('gate.fc', 'linear', 10),
  layer('fc', 'linear', 10),
];
const transformer = [
  layer('patch_embed.proj', 'convolution', 50),
  layer('blocks.0.attn.qkv', 'linear', 100),
  layer('blocks.0.mlp.fc2', 'linear', 100),
  layer('head', 'linear', 10),
];
const names = (layers: readonly { readonly name: string }[]) => layers.map(({ name }) => name);

function chosen(settings: ConfigurationInput, layers: readonly MultiplyingLayer[], exact?: readonly string[]) {
  const usual = usualLayers(layers, exact ? { exact } : undefined);
  return names(approximateLayers(parseConfiguration(settings, 'test'), usual));
}

describe('the layers that are approximated', () => {
  test('are by default the convolutions of a convolutional network, and the linear layers of a transformer but the head', () => {
    expect(chosen({}, convolutional)).toEqual(['conv1', 'layer1.0.conv1', 'layer1.1.conv1']);
    expect(chosen({}, transformer)).toEqual(['blocks.0.attn.qkv', 'blocks.0.mlp.fc2']);
  });

  test('are all but those of the card where it names some', () => {
    expect(chosen({}, convolutional, ['conv1', 'gate.*'])).toEqual(['layer1.0.conv1', 'layer1.1.conv1', 'fc']);
    expect(chosen({}, convolutional, [])).toEqual(names(convolutional));
  });

  test.each<[ConfigurationInput, string[]]>([
    [{ approximate: ['all'] }, names(convolutional)],
    [{ approximate: ['linear-layers'] }, ['gate.fc', 'fc']],
    [{ approximate: ['usual', 'fc'] }, ['conv1', 'layer1.0.conv1', 'layer1.1.conv1', 'fc']],
    [{ approximate: ['layer1.*'] }, ['layer1.0.conv1', 'layer1.1.conv1']],
    [{ exactLayers: ['first', '*.1.*'] }, ['layer1.0.conv1']],
    [{ approximate: ['all'], exactLayers: ['convolutions', 'last'] }, ['gate.fc']],
    [{ quantize: { layerBits: ['first=8', 'last=4'] }, bits: { weights: 4 } }, ['layer1.0.conv1', 'layer1.1.conv1']],
  ])('%j', (settings, expected) => expect(chosen(settings, convolutional)).toEqual(expected));

  test.each<[ConfigurationInput, RegExp]>([
    [{ approximate: ['layer2.*'] }, /^unknown layer 'layer2\.\*'; valid: layer1\.0\.conv1, layer1\.1\.conv1, /],
    [{ exactLayers: ['con1'] }, /unknown layer 'con1'; did you mean 'conv1'\?/],
    [{ quantize: { layerBits: ['head=8'] } }, /unknown layer 'head'/],
    [{ exactLayers: ['convolutions'] }, /every layer keeps the exact multiplier .* nothing is left/],
    [{ quantize: { layerBits: ['convolutions=4'] } }, /other widths than the 8×8 bits of the multiplier/],
  ])('%j is refused', (settings, message) => expect(() => chosen(settings, convolutional)).toThrow(message));
});

test('a layer has the widths of the last entry that means it', () => {
  const settings = { bits: { weights: 4, activations: 5 }, quantize: { layerBits: ['*conv1=7', 'layer1.1.*=8x6'] } };
  const widths = layerWidths(parseConfiguration(settings, 'test'), usualLayers(convolutional));
  expect([...widths.values()].map(({ weights, activations }) => `${weights}×${activations}`)).toEqual([
    ...['7×7', '7×7', '8×6'],
    ...['4×5', '4×5'],
  ]);
});

test.each(['first', '=8', 'first=9', 'first=1x8', 'first=8=8', 'first=8y8'])('layerBits %j is refused', (text) => {
  expect(() => parseConfiguration({ quantize: { layerBits: [text] } }, 'test')).toThrow(/expected LAYERS=BITS/);
});

test('what was explored before there was a choice was explored with every layer approximated', () => {
  const { approximate: _, ...before } = JSON.parse(settingsOf(parseConfiguration({}, 'test'), 'explore'));
  const wanted = (settings: ConfigurationInput) => settingsOf(parseConfiguration(settings, 'test'), 'explore');
  expect(describeDifference(JSON.stringify(before), wanted({ approximate: ['all'] }))).toBe('');
  expect(describeDifference(JSON.stringify(before), wanted({}))).toBe('approximate ["usual"] instead of ["all"]');
});
