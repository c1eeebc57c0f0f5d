// Timing, sizing and power on small mapped netlists of the built-in technology, whose linear model can be worked out by
// hand.

import { describe, expect, it } from 'vitest';
import { UserError } from '../tensor/errors.ts';
import { countTransitions } from './glitches.ts';
import type { Library } from './liberty/library.ts';
import { readLiberty } from './liberty/read.ts';
import { type MappedNetlist, readMapped, totalArea } from './mapped.ts';
import { analysePower } from './power.ts';
import { simulateMapped } from './simulate.ts';
import { CellVariants, sizeGates } from './sizing.ts';
import { unitGateLiberty } from './technology/unit-gate.ts';
import { Timing } from './timing.ts';
import { writeMappedBlif, writeMappedVerilog } from './write.ts';

const library: Library = readLiberty(unitGateLiberty);

type Bits = (number | string)[];

/** A netlist as Yosys would write it: bits 2, 3, … are the inputs. */
function netlist(
  inputs: Record<string, Bits>,
  outputs: Record<string, Bits>,
  cells: [type: string, pins: Record<string, number | string>][],
): MappedNetlist {
  const ports = [
    ...Object.entries(inputs).map(([name, bits]) => [name, { direction: 'input', bits }]),
    ...Object.entries(outputs).map(([name, bits]) => [name, { direction: 'output', bits }]),
  ];
  const instances = cells.map(([type, pins], n) => [
    `u${n}`,
    { type, connections: Object.fromEntries(Object.entries(pins).map(([pin, bit]) => [pin, [bit]])) },
  ]);
  const module = { ports: Object.fromEntries(ports), cells: Object.fromEntries(instances), netnames: {} };
  return readMapped(JSON.stringify({ modules: { test: module } }), library);
}

/** a → n inverters → y */
const chain = (length: number) =>
  netlist(
    { a: [2] },
    { y: [2 + length] },
    Array.from({ length }, (_, n) => ['INV_X1', { A: 2 + n, Y: 3 + n }]),
  );

/** y = a ∧ ¬a through three inverters: constant 0 with a hazard on every rise of a. */
const hazard = netlist({ a: [2] }, { y: [6] }, [
  ['INV_X1', { A: 2, Y: 3 }],
  ['INV_X1', { A: 3, Y: 4 }],
  ['INV_X1', { A: 4, Y: 5 }],
  ['AND2_X1', { A: 2, B: 5, Y: 6 }],
]);

describe('the built-in technology', () => {
  it('has the unit-gate cost ratios AND : HA : FA = 1 : 1.822 : 4.470 and a buffer', () => {
    const area = (name: string) => library.cells.get(name)!.area / library.cells.get('AND2_X1')!.area;
    expect(area('HA_X1')).toBeCloseTo(1.822, 9);
    expect(area('FA_X1')).toBeCloseTo(4.47, 9);
    expect(library.cells.get('BUF_X1')!.outputs[0]!.function.text).toBe('A');
    expect(library.cells.get('NAND2_X1')!.outputs[0]!.timing[0]!.sense).toBe('negative');
    expect(library.cells.get('XOR2_X1')!.outputs[0]!.timing[0]!.sense).toBe('none');
  });
});

describe('reading a mapped netlist', () => {
  it('sorts instances and names what is not in the library, loops and double drivers', () => {
    const reversed = netlist({ a: [2] }, { y: [4] }, [
      ['INV_X1', { A: 3, Y: 4 }],
      ['INV_X1', { A: 2, Y: 3 }],
    ]);
    expect(reversed.instances.map(({ name }) => name)).toEqual(['u1', 'u0']);
    expect(() => netlist({ a: [2] }, { y: [3] }, [['$_DFF_P_', { D: 2, Q: 3 }]])).toThrow(
      /"\$_DFF_P_" that no library cell/,
    );
    expect(() => netlist({ a: [2] }, { y: [3] }, [['AND2_X1', { A: 2, B: 3, Y: 3 }]])).toThrow(/loop/);
    expect(() => netlist({ a: [2] }, { y: [2] }, [['INV_X1', { A: 2, Y: 2 }]])).toThrow(/driven twice/);
  });
});

describe('static timing', () => {
  it('equals the linear model worked out by hand', () => {
    const timing = new Timing(chain(2), { inputSlewPs: 10, outputLoadFf: 1 });
    // INV: delay 3 + 7·load + 0.2·slew, slew 2.4 + 12.6·load, input 0.6 fF
    const first = 3 + 7 * 0.6 + 0.2 * 10;
    const second = 3 + 7 * 1 + 0.2 * (2.4 + 12.6 * 0.6);
    expect(timing.delay).toBeCloseTo(first + second, 9);
    expect(timing.criticalPath().map(({ cell }) => cell)).toEqual([null, 'INV_X1', 'INV_X1']);
  });

  it('updates after an exchange to what a fresh analysis gives, and back', () => {
    const timing = new Timing(chain(5));
    const before = timing.delay;
    timing.exchange(2, library.cells.get('INV_X2')!);
    expect(timing.delay).toBe(new Timing(timing.netlist).delay);
    expect(timing.delay).not.toBe(before);
    timing.exchange(2, library.cells.get('INV_X1')!);
    expect(timing.delay).toBe(before);
  });
});

describe('sizing', () => {
  it('meets a target that the start misses and gives the area back where there is time', () => {
    const timing = new Timing(chain(8), { outputLoadFf: 20 });
    const [slow, small] = [timing.delay, totalArea(timing.netlist)];
    const variants = new CellVariants(library.cells.values());
    sizeGates(timing, variants, 0.8 * slow);
    expect(timing.delay).toBeLessThanOrEqual(0.8 * slow);
    expect(totalArea(timing.netlist)).toBeGreaterThan(small);
    sizeGates(timing, variants, 2 * slow);
    expect(totalArea(timing.netlist)).toBeCloseTo(small, 12);
  });

  it('goes as far as its parameters say and tells what it did', () => {
    const timing = new Timing(chain(8), { outputLoadFf: 20 });
    const slow = timing.delay;
    const variants = new CellVariants(library.cells.values());
    const target = 0.1 * slow;
    const one = sizeGates(timing, variants, target, { rounds: 1, enlargements: 1, passes: 0 });
    expect(one).toMatchObject({ enlarged: 1, reduced: 0, rounds: 1, passes: 0 });
    const after = timing.delay;
    expect(after).toBeLessThan(slow);
    const more = sizeGates(timing, variants, target);
    expect(more.enlarged).toBeGreaterThan(0);
    expect(more.tried).toBeGreaterThan(more.enlarged + more.reduced);
    expect(timing.delay).toBeLessThan(after);
  });
});

describe('power', () => {
  it('of one inverter is the sum worked out by hand', () => {
    const timing = new Timing(chain(1), { outputLoadFf: 1 });
    const power = analysePower(library, timing, { clockMHz: 200, inputActivity: 1 });
    // every cycle: input net 0.6 fF and output net 1 fF at 0.7 V, 0.06 fJ inside, 200 MHz
    expect(power.switching).toBeCloseTo((0.5 * 0.49 * 1.6 * 200) / 1e6, 12);
    expect(power.internal).toBeCloseTo((0.06 * 200) / 1e6, 12);
    expect(power.leakage).toBeCloseTo(0.04 / 1e6, 12);
    expect(power.total).toBeCloseTo(power.internal + power.switching + power.leakage, 15);
  });

  it('follows the operand histogram: a constant operand moves nothing', () => {
    const timing = new Timing(chain(3));
    expect(analysePower(library, timing, { histograms: [[0, 5]] })).toMatchObject({ internal: 0, switching: 0 });
    const uniform = analysePower(library, timing);
    const same = analysePower(library, timing, { histograms: [[1, 1]] });
    expect(same.switching / uniform.switching).toBeCloseTo(1, 1);
    expect(analysePower(library, timing)).toEqual(uniform);
  });

  it('counts hazards only when asked to', () => {
    const timing = new Timing(hazard);
    const settled = analysePower(library, timing);
    const timed = analysePower(library, timing, { glitches: true });
    expect(timed.switching).toBeGreaterThan(settled.switching);
    const inputs = new Map([[2, Int32Array.of(0b0101)]]); // a rises, falls, rises
    const transitions = countTransitions(timing, inputs, 4);
    expect(transitions[2]).toBe(3);
    const y = timing.netlist.ports[1]!.nets[0]!;
    expect(transitions[y]! % 2).toBe(0);
    expect(transitions[y]).toBeGreaterThan(0);
    expect([...simulateMapped(hazard, inputs, 1)[y]!]).toEqual([0]);
  });

  it('refuses histograms, clocks and activities that make no sense', () => {
    const timing = new Timing(chain(1));
    for (const options of [
      { histograms: [[1, 2, 3]] },
      { histograms: [[0, 0]] },
      { histograms: [[-1, 2]] },
      { clockMHz: 0 },
      { inputActivity: 2 },
      { inputActivity: 0.1, histograms: [[1, 1]] },
    ]) {
      expect(() => analysePower(library, timing, options)).toThrow(UserError);
    }
  });
});

describe('writing a mapped netlist', () => {
  it('names cells, constants and shared outputs in Verilog and BLIF, and escapes hostile names', () => {
    const odd = netlist({ 'a b;$finish': [2] }, { y: [3, '1', 2, 3] }, [['INV_X1', { A: 2, Y: 3 }]]);
    const verilog = writeMappedVerilog(odd);
    expect(verilog).toContain('input \\a_b;$finish ');
    expect(verilog).toContain('INV_X1 g0 (.A(\\a_b;$finish ), .Y(y[0]));');
    expect(verilog).toContain("assign y[1] = 1'b1;");
    expect(verilog).toContain('assign y[3] = y[0];');
    expect(() => writeMappedBlif(odd)).toThrow(/cannot be written as BLIF/);
    const blif = writeMappedBlif(netlist({ a: [2] }, { y: [3, '0'] }, [['INV_X1', { A: 2, Y: 3 }]]));
    expect(blif).toContain('.gate INV_X1 A=a Y=y[0]');
    expect(blif).toContain('.names constant0 y[1]\n1 1');
  });
});
