import { expect, test } from 'vitest';
import { matchesPattern } from './names.ts';

test.each([
  ['conv1', 'conv1'],
  ['*', ''],
  ['*', 'layer1.0.conv1'],
  ['layer1.*', 'layer1.0.conv1'],
  ['layer1.*', 'layer1.'],
  ['*.conv1', 'layer1.0.conv1'],
  ['blocks.*.fc1', 'blocks.0.mlp.fc1'],
  ['*qkv*', 'blocks.0.attn.qkv'],
  ['a*b*c', 'abbcbc'],
  ['a**c', 'ac'],
  ['*aa*aa*', 'aaaa'],
  ['a+(b', 'a+(b'],
])('%s stands for %s', (pattern, name) => expect(matchesPattern(pattern, name)).toBe(true));

test.each([
  ['conv1', 'conv10'],
  ['conv1', 'layer1.0.conv1'],
  ['', 'a'],
  ['layer1.*', 'layer10.0.conv1'],
  ['*.conv1', 'conv1'],
  ['*.conv1', 'layer1.0.conv1.weight'],
  ['a*a', 'a'],
  ['*aa*aa*', 'aaa'],
  ['a*bc*c', 'abc'],
  ['a*b*c', 'acb'],
  ['Conv1', 'conv1'],
  ['layer.*', 'layer1x'],
])('%s does not stand for %s', (pattern, name) => expect(matchesPattern(pattern, name)).toBe(false));

test('a pattern of many stars takes no exponential time', () => {
  expect(matchesPattern(`${'*a'.repeat(40)}b`, 'a'.repeat(5000))).toBe(false);
});
