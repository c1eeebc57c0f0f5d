import { inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { exploreFile, exploreMultiplier } from './explore.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

function errorsIn(packed: string): Int32Array {
  const raw = inflateRawSync(Buffer.from(packed, 'base64'));
  return Int32Array.from({ length: raw.length / 4 }, (_, pair) => raw.readInt32LE(4 * pair));
}

const AND_ARRAY = `.model m
.inputs a[0] a[1] b[0] b[1]
.outputs p[0] p[1] p[2] p[3]
.names a[0] b[0] p[0]
11 1
.names a[0] b[1] p[1]
11 1
.names p[2]
.names p[3]
.end
`;

describe('a multiplier as plain data', () => {
  test('the errors are those of every pair, by patterns', async () => {
    const { errors, measures, dots, costs } = await exploreMultiplier('truncated:3x4:columns=3');
    const found = errorsIn(errors!);
    expect(found).toHaveLength(2 ** 7);
    const expected = Array.from({ length: 128 }, (_, pair) => {
      const [w, x] = [pair >> 4, pair & 15];
      let lost = 0;
      for (let i = 0; i < 3; i++)
        for (let j = 0; j < 4; j++) if (i + j < 3) lost += (w >> i) & (x >> j) & 1 ? 2 ** (i + j) : 0;
      return 0 - lost;
    });
    expect(Array.from(found)).toEqual(expected);
    expect(measures.maxEd).toBe(Math.max(...expected.map(Math.abs)));
    expect(measures.worst[0]!.error).toBe(Math.min(...expected));
    expect(dots!.partialProducts.filter(({ kept }) => !kept)).toHaveLength(6);
    expect(costs!.unitGates).toBeGreaterThan(0);
  });

  test('the netlist names its gates and what they are', async () => {
    const { netlist, costs } = await exploreMultiplier('dadda:3x3');
    const { nodes, outputs } = netlist!;
    expect(outputs.map(({ name }) => name)).toHaveLength(6);
    expect(nodes.filter(({ role }) => role?.startsWith('partial product'))).toHaveLength(9);
    expect(nodes.some(({ role }) => role?.startsWith('carry of a full adder'))).toBe(true);
    nodes.forEach(({ fanins }, at) => {
      for (const fanin of fanins) expect(fanin).toBeLessThan(at);
    });
    expect(costs!.depth).toBeGreaterThan(2);
    expect(costs!.read).toBe(nodes.length - 2 - 6);
  });

  test('a file needs no disk: BLIF, and a table', async () => {
    const blif = await exploreFile('m.blif', bytes(AND_ARRAY));
    expect(blif.measures).toMatchObject({ weightBits: 2, activationBits: 2, errorRate: 6 / 16 });
    expect(blif.withoutDots).toContain('no dot diagram');
    const table = [0, 1, 2, 3].map((w) => [0, 1, 2, 3].map((x) => w * x).join(',')).join('\n');
    const read = await exploreFile('t.csv', bytes(table));
    expect(read.measures.errorRate).toBe(0);
    expect(read.netlist).toBeNull();
    expect(read.withoutNetlist).toContain('no gates');
  });

  test('a name that looks like a generator or a path is that of the file alone', async () => {
    await expect(exploreFile('dadda:8x8', bytes('no netlist'))).rejects.toThrow(/neither a netlist nor a table/);
    await expect(exploreFile('/etc/passwd', bytes('root:x'))).rejects.toThrow(/neither a netlist nor a table/);
  });

  test('what cannot be read says where', async () => {
    await expect(exploreFile('bad.blif', bytes('.model m\n.inputs a\n.gaat\n'))).rejects.toThrow(/bad\.blif:3/);
  });

  test('operands too wide are measured and not told pair by pair', async () => {
    const { errors, withoutErrors, measures } = await exploreMultiplier('truncated:11x10:columns=4');
    expect(errors).toBeNull();
    expect(withoutErrors).toContain('11×10');
    expect(measures.pairs).toBe(2 ** 21);
  });
});
