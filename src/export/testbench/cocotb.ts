// The bench of a layer job as a cocotb test in Python: the same streams and checks as the bench in Verilog, for
// simulators that cocotb knows, and for people who go on from it. Cocotb 1.9 or later; the Makefile starts it.
// Invariant: it passes under the conditions of the bench in Verilog and no others.

import type { ProductFormat } from '../rtl/multiplier.ts';
import { type BenchNames, sizesOf } from './bench.ts';
import type { LayerJob } from './job.ts';

/** The text of `test_NAME.py`. */
export function cocotbBench(job: LayerJob, names: BenchNames, format: ProductFormat): string {
  const { title, bench, products } = names;
  const sizes = Object.entries(sizesOf(job, format.bits)).map(([key, value]) => `${key} = ${value}`);
  const truth = (value: boolean) => (value ? 'True' : 'False');
  return `"""Self-checking bench of the layer ${title}: ${job.images} image(s), ${job.results.length} results.

A cocotb test (https://www.cocotb.org, 1.9 or later): make cocotb-${bench}. Each stream is driven by itself
and stalls at random; SEED=n in the environment has another pattern, STALLS=0 none. Files are opened from BENCHES, the
folder of this file by default.
"""

import os
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

${sizes.join('\n')}
SUM_BITS = ${job.sumBits}
SIGNED_OPERANDS = ${truth(job.slice.multiplier.table.signed)}
SIGNED_PRODUCTS = ${truth(format.signed)}
SIGNED_RESULTS = ${truth(job.slice.top.resultSigned)}

BENCHES = Path(os.environ.get("BENCHES", Path(__file__).resolve().parent))
STALLS = os.environ.get("STALLS", "1") != "0"


def memory(path, count):
    lines = (line.split("//")[0].strip() for line in (BENCHES / path).read_text().splitlines())
    words = [int(line, 16) for line in lines if line]
    assert len(words) == count, f"{path} has {len(words)} words, not {count}"
    return words


def field(word, first, bits):
    return word >> first & (1 << bits) - 1


def number(pattern, bits, signed=True):
    return pattern - (1 << bits) if signed and pattern >> (bits - 1) else pattern


class Stalls:
    """When to go on: phases of 64 cycles without stalls, with some, with many and with half."""

    def __init__(self, salt):
        self.random = random.Random(1000 * int(os.environ.get("SEED", "0")) + salt)
        self.cycle = 37 * salt

    def go(self):
        self.cycle += 1
        share = (1, 3 / 4, 1 / 8, 1 / 2)[self.cycle >> 6 & 3]
        return not STALLS or self.random.random() < share


class Source:
    """Beats of a memory, again from its beginning until \`total\` were given. A beat stands until it is taken."""

    def __init__(self, clock, valid, ready, memory, total, salt, drive):
        self.clock, self.valid, self.ready, self.memory, self.drive = clock, valid, ready, memory, drive
        self.total, self.next, self.stalls = total, 0, Stalls(salt)
        self.taken = 0
        self.valid.value = 0

    async def run(self):
        while self.next < self.total:
            if not self.stalls.go():
                await FallingEdge(self.clock)
                continue
            self.drive(self.memory[self.next % len(self.memory)])
            self.valid.value = 1
            self.next += 1
            while True:
                # Ready is settled half a cycle after the falling edge at which all inputs change.
                await Timer(4, "ns")
                passes = int(self.ready.value) == 1
                await FallingEdge(self.clock)
                if passes:
                    break
            self.taken += 1
            self.valid.value = 0


def difference(taken, found, weights, activations, results, sums, products):
    """Where a result stands, and every product of its sum by the table."""
    image, n = divmod(taken, RESULTS)
    g, n = divmod(n, OUTPUTS * POSITIONS)
    m, n = divmod(n, C * POSITIONS)
    p, c = divmod(n, min(C, OUTPUTS - m * C))
    b = p // BLOCK
    length = min(BLOCK, POSITIONS - b * BLOCK)
    lines = [
        f"DIFFERENCE ${title}: image {image}, position ({p // COLUMNS}, {p % COLUMNS}), channel {g * OUTPUTS + m * C + c}: "
        f"expected {number(results[taken], YB, SIGNED_RESULTS)}, found {number(found, YB, SIGNED_RESULTS)}; "
        f"expected sum {number(sums[taken], SUM_BITS)}"
    ]
    for t in range(TAPS):
        k, r = divmod(t, R)
        tile = g * OUTPUT_TILES + m
        beat = activations[image * ACTIVATIONS + (tile * POSITIONS + b * BLOCK) * TAP_TILES + k * length + p % BLOCK]
        row = weights[((tile * BLOCKS + b) * TAP_TILES + k) * R + R - 1 - r]
        if not field(beat, R * XB + r, 1):
            continue
        w, x = field(row, c * WB, WB), field(beat, r * XB, XB)
        product = products[w << XB | x]
        lines.append(
            f"  tap ({t // DEPTH // WINDOW}, {t // DEPTH % WINDOW}), channel {g * DEPTH + t % DEPTH}: "
            f"w {number(w, WB, SIGNED_OPERANDS)}, x {number(x, XB, SIGNED_OPERANDS)}: "
            f"product {number(product, PB, SIGNED_PRODUCTS)}"
        )
    return "\\n".join(lines)


@cocotb.test()
async def layer(dut):
    weights = memory("${bench}/weights.mem", WEIGHTS)
    activations = memory("${bench}/activations.mem", IMAGES * ACTIVATIONS)
    constants = memory("${bench}/constants.mem", CONSTANTS)
    results = memory("${bench}/results.mem", IMAGES * RESULTS)
    sums = memory("${bench}/sums.mem", IMAGES * RESULTS)
    products = memory("${products}", 1 << (WB + XB))

    def drive_weights(word):
        dut.w_data.value = word

    def drive_activations(word):
        dut.x_data.value = field(word, 0, R * XB)
        dut.x_taps.value = field(word, R * XB, R)
        dut.x_class.value = field(word, R * XB + R, CB)

    def drive_constants(word):
        dut.c_data.value = word

    sources = [
        Source(dut.clk, dut.w_valid, dut.w_ready, weights, IMAGES * WEIGHTS, 1, drive_weights),
        Source(dut.clk, dut.x_valid, dut.x_ready, activations, IMAGES * ACTIVATIONS, 2, drive_activations),
        Source(dut.clk, dut.c_valid, dut.c_ready, constants, IMAGES * CONSTANTS, 3, drive_constants),
    ]
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    dut.y_ready.value = 0
    dut.rst.value = 1
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value = 0
    for source in sources:
        cocotb.start_soon(source.run())

    stalls = Stalls(4)
    taken, idle, waiting = 0, 0, None
    while taken < IMAGES * RESULTS or idle < 200:
        ready = stalls.go()
        dut.y_ready.value = int(ready)
        await Timer(4, "ns")
        idle += 1
        valid = int(dut.y_valid.value) == 1
        beat = (int(dut.y_data.value), int(dut.y_last.value)) if valid else None
        assert waiting in (None, beat), "a result changed or went away before it was taken"
        waiting = None if ready else beat
        if valid and ready:
            idle = 0
            found, last = beat
            assert taken < IMAGES * RESULTS, "a result came behind the last one"
            assert found == results[taken], difference(taken, found, weights, activations, results, sums, products)
            at_last = taken % RESULTS == RESULTS - 1
            assert last == at_last, "y_last does not stand at the last result of an image alone"
            taken += 1
        assert idle < PATIENCE, f"no result for a long time, after {taken} of {IMAGES * RESULTS}"
        await FallingEdge(dut.clk)
    assert all(source.taken == source.total for source in sources), "beats were left when all results had come"
    dut._log.info("PASS %d", taken)
`;
}
