// Which benches a folder has: `testbench.json`, from which the Makefile is written and by which the check runs them.
// Invariant: every name is an identifier or a path of identifiers, whatever the network calls its layers.

import { harmless } from './bench.ts';

export interface PlannedBench {
  /** The layer or multiplier, for people. */
  readonly title: string;
  /** The bench's module, and the name of its files. */
  readonly bench: string;
  /** Values that it compares: the n of its `PASS n`. */
  readonly values: number;
  /** The module that is tested, and the Verilog files that it needs. */
  readonly top: string;
  readonly sources: readonly string[];
}

export interface PlannedLayer extends PlannedBench {
  readonly images: number;
  readonly multiplier: string;
  /** Rows and columns of the array. */
  readonly array: readonly [rows: number, columns: number];
}

export interface BenchPlan {
  readonly layers: readonly PlannedLayer[];
  readonly multipliers: readonly PlannedBench[];
}

export const PLAN_FILE = 'testbench.json';

export function planText(plan: BenchPlan): string {
  return `${JSON.stringify(plan, null, 2)}\n`;
}

/** README.md of the folder. */
export function planReadme({ layers, multipliers }: BenchPlan): string {
  const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  return `# Test benches

What the layers must compute, taken from test images, and benches that check the Verilog in \`rtl/\` against it.

${row(['layer', 'bench', 'images', 'results', 'multiplier', 'array'])}
|---|---|---|---|---|---|
${layers.map(({ title, bench, images, values, multiplier, array }) => row([title, bench, images, values, multiplier, array.join('×')])).join('\n')}

${row(['multiplier', 'bench', 'operand pairs'])}
|---|---|---|
${multipliers.map(({ title, bench, values }) => row([title, bench, values])).join('\n')}

    make icarus        # Icarus Verilog: all layers and multipliers
    make verilator     # Verilator, C++ harness: all layers
    make cocotb        # cocotb on Icarus: all layers
    make icarus-${layers[0]?.bench ?? 'tb_NAME'}   # one of them

A bench prints \`PASS n\` when all its n values were equal. Else it prints the first difference (image, position, channel,
expected, found), the operands of that sum, each with its product by the multiplier's table, and \`FAIL\` with what to
look at. Stalls follow a pseudo-random pattern; \`ARGUMENTS=+seed=7\` makes another one, \`ARGUMENTS=+full\` none
(Verilator: \`ARGUMENTS=7\`, \`ARGUMENTS=full\`).

Memories (\`tb_*/*.mem\`, for $readmemh) hold the beats of each stream in their order; what a beat holds stands in
streams.md.
`;
}

export const titleOf = (name: string): string => harmless(name === '' ? 'unnamed' : name);
