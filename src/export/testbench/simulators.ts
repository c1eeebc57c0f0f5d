// The simulators that run the benches: Icarus Verilog and Verilator, as programs of the system. What is built stands in
// a temporary folder that is removed afterwards; the folder of benches is only read.
// Invariant: started without a shell. A simulation has passed when its output has the line `PASS n` with the number of
// values that were asked for, and no other ending counts: an exit code alone proves nothing.

import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../../tensor/errors.ts';
import type { PlannedBench } from './plan.ts';

export const simulators = ['icarus', 'verilator'] as const;
export type Simulator = (typeof simulators)[number];

export interface SimulationOptions {
  /** Whether the C++ compiler optimises a harness: good for long simulations; default true. */
  readonly optimise?: boolean;
}

interface Command {
  readonly program: string;
  readonly args: readonly string[];
}

/**
 * The commands of a bench, in order, the last of which simulates; they are started in the folder of the benches, and
 * what they make stands in the folder `build`;
 * `harness` is the absolute path of `tb_NAME.cpp`.
 */
export function commandsOf(
  simulator: Simulator,
  { bench, top, sources }: PlannedBench,
  build: string,
  harness: string,
  { optimise = true }: SimulationOptions = {},
): Command[] {
  if (simulator === 'icarus') {
    const made = `${build}/${bench}.vvp`;
    const options = ['-g2001', '-Wall', '-Wno-timescale', '-s', bench, '-o', made];
    return [
      { program: 'iverilog', args: [...options, `${bench}.v`, ...sources] },
      { program: 'vvp', args: ['-n', made] },
    ];
  }
  const folder = `${build}/${bench}`;
  const effort = optimise ? ['-O3', '-CFLAGS', '-O2'] : ['-O3', '-MAKEFLAGS', NO_EFFORT];
  const made = ['--prefix', `V${bench}`, '--Mdir', folder, '-o', 'bench'];
  return [
    {
      program: 'verilator',
      args: ['--cc', '--exe', '--build', ...effort, '--top-module', top, ...made, ...sources, harness],
    },
    { program: `${folder}/bench`, args: [] },
  ];
}

/** For the C++ compiler, also of what belongs to Verilator itself. */
const NO_EFFORT = 'OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0';

/** The programs, which are also the names of their packages. */
const programs: Record<Simulator, string> = { icarus: 'iverilog', verilator: 'verilator' };
export const simulatorTitles: Record<Simulator, string> = { icarus: 'Icarus Verilog', verilator: 'Verilator' };
const DEFAULT_TIMEOUT_MS = 30 * 60_000;
const MAX_LOG_BYTES = 2 ** 26;

/** Throws a UserError that says what to install where the simulator is missing. */
export async function requireSimulator(simulator: Simulator): Promise<void> {
  await execute({ program: programs[simulator], args: ['-V'] }, tmpdir(), simulator);
}

/** What a bench prints. Throws a UserError where the simulator is missing, takes no such file or takes too long. */
export async function simulateBench(
  simulator: Simulator,
  folder: string,
  bench: PlannedBench,
  options: SimulationOptions = {},
): Promise<string> {
  const build = await mkdtemp(join(tmpdir(), 'tram-bench-'));
  try {
    let printed = '';
    const harness = join(build, `${bench.bench}.cpp`);
    if (simulator === 'verilator') await copyFile(join(folder, `${bench.bench}.cpp`), harness);
    const commands = commandsOf(simulator, bench, build, harness, options);
    for (const [at, command] of commands.entries()) {
      const { ok, log } = await execute(command, folder, simulator);
      printed = log;
      if (!ok && at < commands.length - 1) {
        throw new UserError(`${simulatorTitles[simulator]} does not take ${bench.bench} of ${folder}: ${log.trim()}`);
      }
    }
    return printed;
  } finally {
    await rm(build, { recursive: true, force: true });
  }
}

function execute(
  { program, args }: Command,
  cwd: string,
  simulator: Simulator,
): Promise<{ readonly ok: boolean; readonly log: string }> {
  return new Promise((resolve, reject) => {
    const options = { cwd, timeout: DEFAULT_TIMEOUT_MS, maxBuffer: MAX_LOG_BYTES };
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error?.code === 'ENOENT') {
        reject(
          new UserError(
            `no program '${program}' found; install ${simulatorTitles[simulator]} (Debian, Ubuntu: apt-get install ${programs[simulator]})`,
          ),
        );
      } else if (error?.killed) {
        reject(
          new UserError(
            `${simulatorTitles[simulator]} took more than ${DEFAULT_TIMEOUT_MS / 60_000} minutes; choose fewer or smaller layers with --layers`,
          ),
        );
      } else resolve({ ok: !error, log: stdout + stderr });
    });
  });
}
