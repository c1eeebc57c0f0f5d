import { expect, test } from 'vitest';
import { SourceText } from '../diagnostics.ts';
import { preprocess } from './preprocess.ts';

const run = (text: string) => preprocess(new SourceText(text, 'm.v')).text;

test.each([
  ['`define A x\ny`A;', '           \ny x ;'],
  ['`define ADD(a, b = 2) a+b\n`ADD(1) `ADD(3, (4, 5))', /\n 1\+2 {2} ?3\+\(4, 5\) $/],
  ['`define A `B\n`define B 7\n`A', /\n {2}7 {2}$/],
  ['`define A 1 \\\n + 2\n`A', /\n\s*\n 1 {2,3}\+ 2 $/],
  ['`ifdef A\nx\n`else\ny\n`endif\nz', /^\s+\n\s+\n\s+\ny\n\s+\nz$/],
  ['`define A\n`ifndef A\nx\n`elsif A\ny\n`else\nz\n`endif', /\ny\n/],
  ['a // `A\nb /* `A\n */ c', /^a +\nb +\n +c$/],
  ['"`A // x" \\b`A// c', '"`A // x" \\b`A// c'],
  ['`define A 1\n`undef A\n`ifdef A\nx\n`endif\n', /^\s+$/],
])('%j', (text, expected) => {
  expect(run(text)).toMatch(expected);
  expect(run(text).split('\n')).toHaveLength(text.split('\n').length);
});

test('expansions never join what stands beside them', () => {
  expect(run('`define A imp\n`define B ort\n`A`B x')).not.toContain('import');
  expect(run('`define A imp\n`A/**/ort x')).not.toContain('import');
});

test.each([
  ['x\n  `A', /^m\.v:2:3: the macro "`A", which is not defined/],
  ['`define J(a, b) a``b\n', /^m\.v:1:1: the macro "J" joins or quotes/],
  ['`include "x"', /an `include/],
  ['`ifdef A', /a condition without an end/],
  ['`endif', /`endif without `ifdef/],
  ['`define A(x) x\n`A(1, 2)', /2 arguments of the macro "`A"/],
  ['`define A(x) x\n`A(1', /a parenthesis without its end/],
  ['`define A `A\n`A', /nests too deeply/],
])('%j is refused', (text, message) => {
  expect(() => run(text)).toThrow(message);
});
