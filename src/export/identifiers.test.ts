import { expect, it } from 'vitest';
import { identifierOf, identifiersOf } from './identifiers.ts';

it('makes identifiers of what people and models call things', () => {
  const names = [
    'layer1.0.conv1',
    '../x',
    'a b',
    'module',
    'é',
    '',
    '8x8',
    '__init__',
    'Int',
    'None',
    'uint8_t',
    'CON',
  ];
  const expected = 'layer1_0_conv1 x a_b module_m e unnamed m_8x8 init Int_m None_m uint8_t_m CON_m'.split(' ');
  expect(names.map((name) => identifierOf(name))).toEqual(expected);
});

it('keeps every identifier short, plain and unique, whatever the case', () => {
  const long = 'x'.repeat(500);
  const hostile = [
    'a.b',
    'a_b',
    'A B',
    'a_b_2',
    long,
    `${long}y`,
    '\u0000;`$(rm -rf /)`',
    '日本',
    '',
    '$',
    '\\end',
    'endmodule',
  ];
  const all = identifiersOf([...hostile, ...hostile]);
  expect(new Set(all.map((one) => one.toLowerCase())).size).toBe(all.length);
  for (const one of all) expect(one).toMatch(/^[A-Za-z](?:_?[A-Za-z0-9])*$/);
  expect(Math.max(...all.map((one) => one.length))).toBeLessThanOrEqual(63);
  expect(identifiersOf(['top'], ['TOP'])).toEqual(['top_2']);
});
