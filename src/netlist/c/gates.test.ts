import { expect, test } from 'vitest';
import { compileC, compileCxx, describeC, folderOf } from '../../../test/c-compiler.ts';
import { firstDifference, type ProductTable } from '../../multiplier/table.ts';
import { cProducts, writeCHeader } from '../formats/c.ts';
import { readTable } from '../formats/read.ts';
import { generateFromSpec } from '../generators/registry.ts';
import { Network, ONE, ZERO } from '../network.ts';
import { simulate } from '../simulate.ts';

interface Case {
  readonly name: string;
  readonly network: Network;
  readonly table: ProductTable;
}

const generated = (name: string, spec: string): Case => {
  const { network, signed = false } = generateFromSpec(spec);
  return { name, network, table: simulate(network, { signed }) };
};

/** Every kind of gate, both constants, an operand of which nothing depends, ports of names that C cannot have. */
function odd(): Case {
  const network = new Network('*/ int main(');
  const [a, b] = ['*/[0]', '*/[1]'].map((name) => network.addInput(name));
  for (const name of ['a "b"[0]', 'a "b"[1]']) network.addInput(name);
  const sum = network.addGate('xor3', a!, b!, ONE);
  const carry = network.addGate('maj', a!, network.addGate('not', b!), sum);
  const both = network.addGate('and', carry, network.addGate('xor', a!, sum));
  const signals = [ZERO, ONE, network.addGate('or', sum, carry), both];
  for (const [bit, signal] of signals.entries()) network.addOutput(`while[${bit}]`, signal);
  return { name: 'odd', network, table: simulate(network, { signed: true }) };
}

const cases = [
  generated('exp', 'truncated:8x8:columns=7'),
  generated('drum', 'drum:8x8:bits=4'),
  generated('narrow', 'array:3x6'),
  generated('signed8', 'baugh-wooley:8x8'),
];

test('a header with gates reads back as its table', () => {
  for (const { name, network, table } of cases) {
    const read = readTable(new TextEncoder().encode(writeCHeader(table, name, network)), `${name}.h`);
    expect(firstDifference(read.table, table)).toBeNull();
  }
});

const check = ({ name, table: { weightBits, activationBits } }: Case) => `
static void check_${name}(void)
{
  for (uint32_t first = 0; first < ${2 ** (weightBits + activationBits)}u; first += 64) {
    uint64_t w[${weightBits}] = {0}, x[${activationBits}] = {0}, p[64];
    for (uint32_t n = 0; n < 64; n++) {
      const uint32_t pair = (first + n) % ${2 ** (weightBits + activationBits)}u;
      for (int bit = 0; bit < ${weightBits}; bit++) w[bit] |= (uint64_t)(pair >> ${activationBits} >> bit & 1u) << n;
      for (int bit = 0; bit < ${activationBits}; bit++) x[bit] |= (uint64_t)(pair >> bit & 1u) << n;
    }
    ${name}_64(w, x, p);
    for (uint32_t n = 0; n < 64; n++) {
      const uint32_t pair = (first + n) % ${2 ** (weightBits + activationBits)}u;
      const uint32_t a = pair >> ${activationBits}, b = pair & ${2 ** activationBits - 1}u;
      const int32_t product = ${name}_product(a, b);
      if (product != ${name}_table[a][b]) printf("${name}: %u %u gives %d\\n", a, b, (int)product);
      for (int bit = 0; bit < BITS(${name}); bit++)
        if ((p[bit] >> n & 1u) != ((uint32_t)product >> bit & 1u)) printf("${name}: bit %d of %u %u\\n", bit, a, b);
    }
  }
}
`;

describeC('compiled as C99 without a warning', () => {
  test('table, gates of a pair and gates of 64 pairs are one function, which C++ takes, too', () => {
    const all = [...cases, odd()];
    const includes = all.map(({ name }) => `#include "${name}.h"\n`).join('');
    const bits = all.map(({ name, network }) => `enum { BITS_${name} = ${network.outputs.length} };\n`).join('');
    const main = `#include <stdio.h>\n${includes}#define BITS(name) BITS_##name\n${bits}${all.map(check).join('')}
int main(void)
{
${all.map(({ name }) => `  check_${name}();\n`).join('')}  return puts("done") < 0;
}
`;
    const folder = folderOf(
      new Map([
        ...all.map(({ name, network, table }) => [`${name}.h`, writeCHeader(table, name, network)] as const),
        ['main.c', main],
        ['headers.cpp', includes],
      ]),
    );
    expect(compileC(folder, ['main.c'])()).toEqual({ status: 0, text: 'done\n' });
    compileCxx(folder, ['headers.cpp']);
  });
});

test('the reader takes the table alone', () => {
  const { network, table } = cases[2]!;
  const { shape } = cProducts(new TextEncoder().encode(writeCHeader(table, 'a', network)), 'a.h');
  expect(shape).toEqual([8, 64]);
});
