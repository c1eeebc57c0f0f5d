// The Makefile of a folder of benches: each bench is a target for each simulator, and fails where the bench does not
// say that it passed.

import type { BenchPlan, PlannedBench, PlannedLayer } from './plan.ts';
import { commandsOf, type Simulator } from './simulators.ts';

export function makefile({ layers, multipliers }: BenchPlan): string {
  const icarus = [...layers, ...multipliers];
  const targets = (simulator: string, benches: readonly PlannedBench[]) =>
    `${simulator}: ${benches.map(({ bench }) => `${simulator}-${bench}`).join(' ')}`;
  return `# Runs the benches of this folder; what each needs to say is "PASS n". ARGUMENTS are handed to the simulation.
BUILD ?= build
ARGUMENTS ?=

.PHONY: all icarus verilator cocotb clean
all: icarus

${targets('icarus', icarus)}
${targets('verilator', layers)}
${targets('cocotb', layers)}

$(BUILD):
\tmkdir -p $@

${icarus.map((bench) => rule('icarus', bench)).join('\n')}
${layers.map((bench) => rule('verilator', bench)).join('\n')}
${layers.map(cocotbRule).join('\n')}
clean:
\trm -rf $(BUILD)
`;
}

function rule(simulator: Simulator, bench: PlannedBench): string {
  const commands = commandsOf(simulator, bench, '$(BUILD)', `$(CURDIR)/${bench.bench}.cpp`).map(({ program, args }) =>
    [program, ...args].join(' '),
  );
  const run = commands.pop()!;
  const log = `$(BUILD)/${bench.bench}.${simulator}.log`;
  return `.PHONY: ${simulator}-${bench.bench}
${simulator}-${bench.bench}: | $(BUILD)
${commands.map((command) => `\t${command}\n`).join('')}\t${run} $(ARGUMENTS) > ${log}; cat ${log}
\t@grep -qx 'PASS ${bench.values}' ${log} && ! grep -qE '^(FAIL|DIFFERENCE)' ${log}
`;
}

/** By cocotb's own makefiles; its names for module and top changed with cocotb 2, so both are given. */
function cocotbRule({ bench, top, sources }: PlannedLayer): string {
  const test = testModule(bench);
  const names = `COCOTB_TEST_MODULES=${test} MODULE=${test} COCOTB_TOPLEVEL=${top} TOPLEVEL=${top}`;
  const results = `$(BUILD)/${bench}.xml`;
  return `.PHONY: cocotb-${bench}
cocotb-${bench}: | $(BUILD)
\t@cocotb-config --version > /dev/null || { echo "no cocotb found; install it (pip install cocotb)"; exit 1; }
\trm -f ${results}
\t$(MAKE) -f "$$(cocotb-config --makefiles)/Makefile.sim" SIM=icarus TOPLEVEL_LANG=verilog ${names} \\
\t  SIM_BUILD=$(BUILD)/${bench}.cocotb COCOTB_RESULTS_FILE=${results} PYTHONPATH=. \\
\t  VERILOG_SOURCES="${sources.join(' ')}"
\t@grep -q '<testcase' ${results} && ! grep -qE '<(failure|error|skipped)' ${results}
`;
}

/** The Python module of a bench `tb_NAME`: `test_NAME`. */
export const testModule = (bench: string): string => `test_${bench.slice('tb_'.length)}`;
