import { expect, test } from 'vitest';
import { exactTable, firstDifference } from '../../multiplier/table.ts';
import { cleanUp, countGates } from '../cleanup.ts';
import { arrayMultiplier } from '../generators/array.ts';
import { Network, ONE, ZERO } from '../network.ts';
import { simulate } from '../simulate.ts';
import { readBlif } from './read.ts';
import { writeBlif } from './write.ts';

const ports = '.model m\n.inputs a[0] a[1] b[0] b[1]\n.outputs y[0]\n';

/** y[0] for the 16 patterns of a[1] a[0] b[1] b[0], from the lowest. */
function outputs(body: string, lenient = false): string {
  return simulate(readBlif(`${ports}${body}\n.end\n`, { lenient }).network).data.join('');
}

test.each([
  ['.names a[0] b[0] y[0]\n11 1', '0000010100000101'],
  ['.names a[0] b[0] y[0]\n11 0', '1111101011111010'],
  ['.names a[0] b[0] y[0]\n10 1\n01 1', '0101101001011010'],
  ['.names a[0] b[0] y[0]\n00 1\n11 1', '1010010110100101'],
  ['.names a[0] a[1] b[0] b[1] y[0]\n1--0 1\n-11- 1', '0000110001011101'],
  ['.names a[0] a[1] b[0] b[1] y[0]\n1--0 0\n-11- 0', '1111001110100010'],
  ['.names b[0] y[0]\n- 1', '1111111111111111'],
  ['.names a[0] b[0] y[0]', '0000000000000000'],
  ['.names y[0]\n1', '1111111111111111'],
  ['.names y[0]\n0', '0000000000000000'],
  ['.names y[0]', '0000000000000000'],
  ['.names b[1] \\\n  y[0] # the second bit\n# alone\n\n1 1', '0011001100110011'],
  ['.names n y[0]\n0 1\n.names b[0] n # used before\n0 1', '0101010101010101'],
])('reads the cover %j', (body, expected) => {
  expect(outputs(body)).toBe(expected);
});

test('covers of adders become the gates of adders', () => {
  const body = `.names a[0] a[1] b[0] s\n100 1\n010 1\n001 1\n111 1\n.names a[0] a[1] b[0] c\n11- 1\n1-1 1\n-11 1
.names s c y[0]\n10 1\n01 1`;
  const { network } = readBlif(`${ports}${body}\n.end`);
  expect(countGates(network)).toEqual({ not: 0, and: 0, or: 0, xor: 1, xor3: 1, maj: 1 });
});

test('flattens several levels of subcircuits, whatever their order', () => {
  const text = `.model top
.inputs a[0] a[1] b[0] b[1]
.outputs y[0] y[1]
.subckt two p=a[0] q=b[0] r=y[0] s=n
.subckt two p=n q=b[1] r=y[1] s=unused
.end
.model two
.inputs p q
.outputs r s
.subckt nand x=p y=q z=m
.subckt nand x=m y=m z=r
.names p q s
1- 1
-1 1
.end
.model nand
.inputs x y
.outputs z
.names x y z
11 0
.end`;
  const { data } = simulate(readBlif(text).network);
  data.forEach((product, pair) => {
    const [a0, b0, b1] = [(pair >> 2) & 1, pair & 1, (pair >> 1) & 1];
    expect(product).toBe((a0 & b0) | (((a0 | b0) & b1) << 1));
  });
});

test('the lenient reading takes undriven nets as 0 and lists them', () => {
  const text = `${ports}.names a[0] lost y[0]\n1- 1\n-1 1\n.end`;
  const { network, undriven } = readBlif(text, { lenient: true });
  expect(undriven).toEqual(['lost']);
  expect(simulate(network).data.join('')).toBe('0000111100001111');
});

test.each([
  ['', 'm.blif:1:1: no model: expected .model'],
  ['.inputs a\n', 'm.blif:1:1: .inputs outside of a model: expected .model before it; in the line ".inputs a"'],
  ['.model a b', 'm.blif:1:1: .model with 2 names: expected one name'],
  [`${ports}.name a[0] y[0]`, 'm.blif:4:1: unknown command ".name" (did you mean ".names"?): expected one of .model'],
  [`${ports}.latch a[0] y[0] 0`, 'm.blif:4:1: .latch is a storage element: expected a combinational circuit'],
  [`${ports}.gate and2 A=a[0]`, 'm.blif:4:7: unknown module "and2": expected one defined in this file: m'],
  [`${ports}.names a[0] y[0]\n2 1`, 'm.blif:5:1: "2" in a cover: expected 0, 1 or -; in the line "2 1"'],
  [`${ports}.names a[0] b[0] y[0]\n1-1 1`, 'm.blif:5:1: 3 values for the 2 inputs of "y[0]": expected 2 of 0, 1 or -'],
  [`${ports}.names a[0] b[0] y[0]\n11 x`, 'm.blif:5:4: the output value "x": expected 0 or 1'],
  [`${ports}.names a[0] b[0] y[0]\n11 1\n00 0`, 'm.blif:6:4: both output values in one cover: expected 1'],
  [`${ports}.names a[0] y[0]\n1 1 1`, 'm.blif:5:1: a cover row of 3 fields'],
  [`${ports}11 1`, 'm.blif:4:1: "11" outside of a cover'],
  [
    `${ports}.names a[0] y[0]\n1 1\n.names b[0] y[0]\n1 1`,
    'm.blif:6:13: net "y[0]" is driven twice: expected one driver',
  ],
  [
    `${ports}.names b[0] a[0]\n1 1`,
    'm.blif:4:13: net "a[0]" is driven twice: expected one driver; it is an input, declared at line 2',
  ],
  [`${ports}.names a[0] b[2] y[0]\n11 1`, 'm.blif:4:13: net "b[2]" of "m" has no driver (did you mean "b[0]"?)'],
  [ports, 'm.blif:3:10: net "y[0]" of "m" has no driver'],
  [
    `${ports}.names q y[0]\n1 1\n.names y[0] q\n1 1`,
    'depends on itself: expected a combinational netlist without loops',
  ],
  [`${ports}.subckt n x=a[0] z=y[0]`, 'm.blif:4:9: unknown module "n": expected one defined in this file: m'],
  [`${ports}.subckt m a[0]=a[0] z=y[0]`, 'm.blif:4:21: "m" has no port "z": expected one of a[0], a[1]'],
  [`${ports}.subckt m a[0]=a[0] y[0]=y[0]`, 'm.blif:4:9: input "a[1]" of "m" is not connected'],
  [`${ports}.subckt m a[0]=a[0] a[1]=a[1] b[0]=b[0] b[1]=b[1] y[0]=y[0]`, 'nests too deeply'],
  [`${ports}.subckt m a[0]`, 'm.blif:4:11: the connection "a[0]": expected formal=actual'],
  ['.model m\n.inputs a\n.end', 'm.blif:1:8: module "m" has no outputs'],
  [`${ports}.model m`, 'm.blif:4:8: a second model "m"'],
])('a mistake is located and explained (%#)', (text, message) => {
  expect(() => readBlif(text, { file: 'm.blif' })).toThrow(message);
});

test.each([
  [2, 2],
  [3, 5],
  [8, 2],
  [6, 6],
  [8, 8],
])('the exact %i×%i multiplier is the same after writing and reading', (weightBits, activationBits) => {
  for (const network of [
    arrayMultiplier(weightBits, activationBits),
    cleanUp(arrayMultiplier(weightBits, activationBits)),
  ]) {
    const again = readBlif(writeBlif(network)).network;
    expect(again.inputs.map((port) => port.name)).toEqual(network.inputs.map((port) => port.name));
    expect(again.outputs.map((port) => port.name)).toEqual(network.outputs.map((port) => port.name));
    expect(firstDifference(simulate(again), exactTable(weightBits, activationBits))).toBeNull();
  }
});

test('constants, shared outputs, outputs that are inputs and clashing names survive writing and reading', () => {
  const network = new Network('odd');
  const [a] = ['n7', 'n8', 'p_0_0', 'p_0_1'].map((name) => network.addInput(name));
  const or = network.addGate('or', a!, network.addGate('not', ONE));
  [ZERO, ONE, a!, or].forEach((signal, bit) => {
    network.addOutput(`y[${bit}]`, signal);
  });
  const again = readBlif(writeBlif(network)).network;
  const patterns = again.inputs.map((port) => port.name);
  expect(patterns).toEqual(['n7', 'n8', 'p_0_0', 'p_0_1']);
  const gates = cleanUp(again);
  expect(gates.outputs.map((port) => port.signal)).toEqual([ZERO, ONE, 2, 2]);
});

test('a chain of 30 000 gates is read without overflowing the stack', () => {
  const lines = [ports];
  for (let n = 0; n < 30_000; n++) lines.push(`.names n${n} ${n === 0 ? 'y[0]' : `n${n - 1}`}\n0 1\n`);
  lines.push('.names a[0] n29999\n1 1\n.end');
  expect(simulate(cleanUp(readBlif(lines.join('')).network)).data.join('')).toBe('0000111100001111');
});

test('.conn gives its first net a second name, and the order of a cover’s columns is that of its inputs', () => {
  const text = `.model m
.inputs a[0] a[1] b[0] b[1]
.outputs p[0] p[1]
.conn a[1] n
.names n b[0] p[0]
10 1
.names n b[0] a[0] b[1] p[1]
1-10 0
.end`;
  const { data } = simulate(readBlif(text).network);
  data.forEach((product, pair) => {
    const [a0, a1, b0, b1] = [(pair >> 2) & 1, pair >> 3, pair & 1, (pair >> 1) & 1];
    const low = a1 === 1 && b0 === 0 ? 1 : 0;
    const high = a1 === 1 && a0 === 1 && b1 === 0 ? 0 : 2;
    expect(product, `${pair}`).toBe(low + high);
  });
});
