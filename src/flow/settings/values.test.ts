import { describe, expect, test } from 'vitest';
import { UserError } from '../../tensor/errors.ts';
import { decimalNumber, nameList, oneOf, perOperand, wholeNumber, wholeNumberFrom } from './values.ts';

describe('numbers', () => {
  test.each(['', ' 3', '3 ', '1x', '0x10', '1.5', '1e3', '--1', '99999999999999999999', 'NaN'])(
    "'%s' is not a whole number",
    (text) => expect(wholeNumber(text)).toBeUndefined(),
  );
  test.each([
    ['0', 0],
    ['-7', -7],
    ['4294967295', 4294967295],
  ])("'%s' is the whole number %d", (text, value) => expect(wholeNumber(text)).toBe(value));
  test.each(['', '.', '1x', '1,5', 'Infinity', '1e999', '0x1'])("'%s' is not a number", (text) =>
    expect(decimalNumber(text)).toBeUndefined(),
  );
  test.each([
    ['5e-4', 5e-4],
    ['.5', 0.5],
    ['2.', 2],
    ['-1', -1],
  ])("'%s' is the number %d", (text, value) => expect(decimalNumber(text)).toBe(value));
});

test('a number per operand is one for both or weights × activations', () => {
  expect(perOperand('8')).toEqual([8, 8]);
  expect(perOperand('4x8')).toEqual([4, 8]);
  expect(perOperand('4×6')).toEqual([4, 6]);
  for (const text of ['', 'x8', '4x', '4x8x2', '-4', '4 x 8']) expect(perOperand(text)).toBeUndefined();
});

test('a list of names refuses an empty name, and none is the empty list', () => {
  expect(nameList('conv1, fc')).toEqual(['conv1', 'fc']);
  expect(nameList('none')).toEqual([]);
  for (const text of ['', 'a,', ',a', 'a,,b']) expect(nameList(text)).toBeUndefined();
});

test('a name outside its list names the option, the valid names and the nearest', () => {
  const parse = oneOf('--stage', ['float', 'recovered']);
  expect(parse('float')).toBe('float');
  expect(() => parse('recoverd')).toThrow(
    new UserError("--stage: expected one of float, recovered, got 'recoverd'; did you mean 'recovered'?"),
  );
});

test('a whole number out of its range is told with option, range and value', () => {
  const parse = wholeNumberFrom('--threads', 1, 64);
  expect(parse('64')).toBe(64);
  expect(() => parse('65')).toThrow(new UserError("--threads: expected a whole number from 1 to 64, got '65'"));
});
