// What is exported computes the table in other programs, too: the Verilog text in Icarus
// Verilog, the BLIF text through Yosys, for every pair of operands. Skipped where Icarus Verilog is not installed.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { BundledYosys } from '../../src/hardware/yosys/bundled.ts';
import { mustRun } from '../../src/hardware/yosys/tool.ts';
import { tram } from '../cli/program.ts';

const place = mkdtempSync(join(tmpdir(), 'tram-independent-'));
const yosys = new BundledYosys();
afterAll(async () => {
  await yosys.close();
  rmSync(place, { recursive: true });
});

/** All products by Icarus Verilog, the pairs in the order of the table. */
function productsOf(
  verilog: string,
  top: string,
  [weightBits, activationBits]: readonly [number, number],
  signed: boolean,
) {
  const bench = `module bench;
  reg [${weightBits - 1}:0] w; reg [${activationBits - 1}:0] x; wire ${signed ? 'signed ' : ''}[${weightBits + activationBits - 1}:0] y;
  ${top} multiplier (.w(w), .x(x), .y(y));
  integer pair;
  initial for (pair = 0; pair < ${2 ** (weightBits + activationBits)}; pair = pair + 1) begin
    {w, x} = pair; #1 $display("%0d", y);
  end
endmodule
`;
  const [source, made] = [join(place, 'bench.v'), join(place, 'bench.vvp')];
  writeFileSync(source, `${verilog}\n${bench}`);
  execFileSync('iverilog', ['-g2001', '-s', 'bench', '-o', made, source]);
  return execFileSync('vvp', ['-n', made], { encoding: 'utf8' }).trim().split('\n').map(Number);
}

/** The numbers of a .npy file, as its header says: int32, little-endian. */
function numbersOf(path: string): number[] {
  const bytes = readFileSync(path);
  const start = 10 + bytes.readUInt16LE(8);
  expect(bytes.toString('latin1', 10, start)).toMatch(/'<i4'.*False/);
  return Array.from({ length: (bytes.length - start) / 4 }, (_, at) => bytes.readInt32LE(start + 4 * at));
}

describe.skipIf(spawnSync('iverilog', ['-V']).status !== 0)('in Icarus Verilog', () => {
  test.each([
    ['signed 5×3', [5, 3], true, ['--start', 'baugh-wooley', '--theta', '1,0.8,0.4,0.1']],
    [
      'signed 8×8, every product kept',
      [8, 8],
      true,
      ['--start', 'baugh-wooley', '--theta', '0,0', '--search', 'exact'],
    ],
    ['unsigned 8×8', [8, 8], false, ['--theta', '1,1,1,1,0.9,0.6,0.4,0.2,0.1']],
  ] as const)('Verilog, BLIF and table of %s agree over all operands', async (name, bits, signed, options) => {
    const out = join(place, name);
    const { code, err } = await tram('map', '--bits', bits.join('x'), ...options, '--out', out);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const table = numbersOf(join(out, 'multiplier.npy'));
    const verilog = readFileSync(join(out, 'multiplier.v'), 'utf8');
    const top = /^module (\w+)/m.exec(verilog)![1]!;
    const blif = readFileSync(join(out, 'multiplier.blif'), 'utf8');
    const { files } = await mustRun(yosys, 'the BLIF text', {
      script: 'read_blif -wideports multiplier.blif\nwrite_verilog -noattr multiplier.v',
      files: { 'multiplier.blif': blif },
      outputs: ['multiplier.v'],
    });
    const wrong = (products: number[]) => products.findIndex((product, pair) => product !== table[pair]);
    const read = {
      verilog: productsOf(verilog, top, bits, signed),
      blif: productsOf(files['multiplier.v']!, top, bits, signed),
    };
    expect([read.verilog.length, read.blif.length]).toEqual([table.length, table.length]);
    expect({ verilog: wrong(read.verilog), blif: wrong(read.blif) }).toEqual({ verilog: -1, blif: -1 });
  });
});
