// A multiplier netlist as C: straight-line functions of its gates, without a branch and without a look-up. Words of 64
// bits carry 64 operand pairs at once, bit planes; the product of one pair is lane 0 of the same gates.
// Invariant: C99 that C++ takes, too, without a warning; whatever names the network has, none gets into the text.
// Not here: the table (formats/c.ts).

import { usedSignals } from '../cleanup.ts';
import { expressions, gateFunctions } from '../gates.ts';
import { netNames } from '../names.ts';
import { isGate, type Network, ONE, ZERO } from '../network.ts';
import { multiplierPorts } from '../ports.ts';

/**
 * The functions `NAME_64(w, x, product)`, of bit planes, and `NAME_product(w, x)`, of patterns, for a name that is an
 * identifier; `signed` reads the product as two's complement.
 */
export function cGates(network: Network, name: string, signed: boolean): string {
  const { weight, activation, product } = multiplierPorts(network);
  const used = usedSignals(network);
  const written = new Map<string, string>();
  const nameOf = new Map(network.inputs.map((port) => [port.signal, port.name]));
  for (const [array, signals] of [
    ['w', weight],
    ['x', activation],
  ] as const) {
    for (const [bit, signal] of signals.entries()) written.set(nameOf.get(signal)!, `${array}[${bit}]`);
  }
  const nets = netNames(network, (port) => written.get(port)!);
  const lines: string[] = [];
  const define = (signal: number, value: string) => lines.push(`  const uint64_t ${nets[signal]} = ${value};`);
  if (used[ZERO]) define(ZERO, '0');
  if (used[ONE]) define(ONE, '~(uint64_t)0');
  for (const [signal, { kind, fanins }] of network.nodes.entries()) {
    if (!used[signal] || !isGate(kind)) continue;
    const [a = '', b = '', c = ''] = fanins.map((fanin) => nets[fanin]!);
    define(signal, gateFunctions[kind](expressions, a, b, c).replace(/^\((.*)\)$/, '$1'));
  }
  for (const [bit, signal] of product.entries()) lines.push(`  product[${bit}] = ${nets[signal]};`);
  const planes = (array: string, bits: number) => `${array}[${bits}]`;
  const [wBits, xBits, bits] = [weight.length, activation.length, product.length];
  const split = (array: string, count: number) =>
    Array.from({ length: count }, (_, bit) => `  ${array}_bits[${bit}] = ${array} >> ${bit} & 1u;`);
  const joined = Array.from({ length: bits }, (_, bit) => `(product[${bit}] & 1u) << ${bit}`);
  const sign = signed ? ` - (int32_t)((product[${bits - 1}] & 1u) << ${bits})` : '';
  return [
    `static inline void ${name}_64(const uint64_t ${planes('w', wBits)}, const uint64_t ${planes('x', xBits)}, uint64_t ${planes('product', bits)})`,
    '{',
    ...(weight.some((signal) => used[signal]) ? [] : ['  (void)w;']),
    ...(activation.some((signal) => used[signal]) ? [] : ['  (void)x;']),
    ...lines,
    '}',
    '',
    `static inline int32_t ${name}_product(uint32_t w, uint32_t x)`,
    '{',
    `  uint64_t ${planes('w_bits', wBits)}, ${planes('x_bits', xBits)}, ${planes('product', bits)};`,
    ...split('w', wBits),
    ...split('x', xBits),
    `  ${name}_64(w_bits, x_bits, product);`,
    `  return (int32_t)(${joined.join(' | ')})${sign};`,
    '}',
    '',
  ].join('\n');
}
