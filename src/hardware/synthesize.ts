// Synthesis of a combinational circuit into a cell library: several candidates through Yosys and ABC, each sized against the delay
// target by our own timing analysis, the best one kept, checked against the circuit and measured.
// Choice: the smallest area among those that meet the target; if none does, the smallest product of area and delay.
// Invariant: the mapped netlist computes what the circuit computes (all input patterns up to 2^16, else random ones); deterministic for
// one version of Yosys.

import { UserError } from '../tensor/errors.ts';
import { adderMap, findAdders } from './adders.ts';
import { ALL, adderCommands, type Candidate, QUICK } from './candidates.ts';
import type { Cell, Library } from './liberty/library.ts';
import { type LibertyText, readLiberties } from './liberty/read.ts';
import { writeTimingLiberty } from './liberty/write.ts';
import { cellCounts, type MappedNetlist, readMapped, totalArea } from './mapped.ts';
import { analysePower, type Power, type PowerOptions } from './power.ts';
import { type Comparison, compareMapped, gateLibrary } from './reference.ts';
import { CellVariants, sizeGates } from './sizing.ts';
import { unitGateLiberty } from './technology/unit-gate.ts';
import { type PathStep, Timing, type TimingOptions } from './timing.ts';
import { writeMappedBlif, writeMappedVerilog } from './write.ts';
import { withYosys, type YosysChoice } from './yosys/choose.ts';
import { type Circuit, readScript } from './yosys/design.ts';
import { mustRun, type Yosys, yosysMessage } from './yosys/tool.ts';

export interface SynthesisOptions extends TimingOptions, PowerOptions {
  readonly circuit: Circuit;
  /** Liberty texts of one corner, together one library (default: the built-in technology). */
  readonly liberty?: readonly LibertyText[] | 'builtin';
  /** ps (default 500, as the TRAM paper's multipliers); Infinity asks for area alone. */
  readonly delayTargetPs?: number;
  /** `quick`: one candidate, a fraction of a second; `best` (default): all of them, a few seconds for an 8-bit multiplier. */
  readonly effort?: 'quick' | 'best';
  /** Cells not to use, besides those the library excludes; `*` stands for anything. Default: DEFAULT_DONT_USE. */
  readonly dontUse?: readonly string[];
  /** Where Yosys runs (default `bundled`); pass an open one to keep it warm. */
  readonly yosys?: YosysChoice;
}

export interface CandidateResult {
  readonly name: string;
  /** null where the candidate failed; `problem` says why. */
  readonly areaUm2: number | null;
  readonly delayPs: number | null;
  readonly problem: string | null;
}

export interface Synthesis {
  readonly cells: Readonly<Record<string, number>>;
  readonly areaUm2: number;
  readonly delayPs: number;
  readonly meetsTarget: boolean;
  readonly powerMw: Power;
  readonly criticalPath: readonly PathStep[];
  readonly mappedVerilog: string;
  readonly mappedBlif: string;
  /** How the mapped netlist was compared with the circuit. */
  readonly verified: Comparison;
  /** The candidate that was kept, and what every one gave. */
  readonly candidate: string;
  readonly candidates: readonly CandidateResult[];
  readonly library: string;
  readonly yosysVersion: string;
  /** The log of Yosys and ABC for the candidate that was kept. */
  readonly log: string;
}

/** Ties (constants need no cell here), hold buffers and clock cells. */
export const DEFAULT_DONT_USE: readonly string[] = ['TIE*', 'HB*', 'CK*'];
export const DEFAULT_DELAY_TARGET_PS = 500;
/** A candidate this much larger than the best so far, or this much slower than the target, is not sized once another meets it. */
const HOPELESS = 1.05;
const OUT_OF_REACH = 1.25;

/** Throws a UserError for circuits and libraries that cannot be used, with Yosys' own message where it has one. */
export function synthesize(options: SynthesisOptions): Promise<Synthesis> {
  const target = options.delayTargetPs ?? DEFAULT_DELAY_TARGET_PS;
  if (!(target > 0))
    throw new UserError(`a delay target of ${target} ps: expected a positive number of ps, or Infinity`);
  return withYosys(options.yosys ?? 'bundled', (yosys) => run(yosys, options, target));
}

interface Mapped {
  readonly candidate: Candidate;
  readonly timing: Timing;
  readonly log: string;
  /** µm² before sizing. */
  readonly startArea: number;
}

async function run(yosys: Yosys, options: SynthesisOptions, target: number): Promise<Synthesis> {
  const texts = !options.liberty || options.liberty === 'builtin' ? [unitGateLiberty] : options.liberty;
  const library = readLiberties(texts);
  const cells = usableCells(library, options.dontUse ?? DEFAULT_DONT_USE);
  const variants = new CellVariants(cells);
  const prepared = await prepare(yosys, options.circuit);
  const adders = adderMap(findAdders(cells));
  const liberty = writeTimingLiberty(cells, library.voltage);
  const flow = { yosys, library, liberty, adders, design: prepared.design };
  const candidates = (options.effort === 'quick' ? QUICK : ALL).filter((one) => one.adders === 'none' || adders);
  const results: CandidateResult[] = [];
  const mapped: Mapped[] = [];
  for (const candidate of candidates) {
    const outcome = await map(flow, candidate);
    if ('problem' in outcome) {
      results.push({ name: candidate.name, areaUm2: null, delayPs: null, problem: outcome.problem });
    } else {
      const timing = new Timing(outcome.netlist, options);
      mapped.push({ candidate, timing, log: outcome.log, startArea: totalArea(outcome.netlist) });
    }
  }
  const best = sizeBest(mapped, variants, target, results);
  if (!best) throw new UserError(`synthesis failed: ${results[0]?.problem ?? 'no candidate'}`);
  const { netlist } = best.timing;
  const verified = compareMapped(prepared.reference, netlist);
  return {
    cells: cellCounts(netlist),
    areaUm2: totalArea(netlist),
    delayPs: best.timing.delay,
    meetsTarget: best.timing.delay <= target,
    powerMw: analysePower(library, best.timing, options),
    criticalPath: best.timing.criticalPath(),
    mappedVerilog: writeMappedVerilog(netlist),
    mappedBlif: writeMappedBlif(netlist),
    verified,
    candidate: best.candidate.name,
    candidates: results,
    library: library.name,
    yosysVersion: await yosys.version(),
    log: best.log,
  };
}

/** Sizes the candidates, the smallest first, as long as they may still win; adds what came out of each to `results`. */
function sizeBest(
  mapped: readonly Mapped[],
  variants: CellVariants,
  target: number,
  results: CandidateResult[],
): Mapped | null {
  let best: Mapped | null = null;
  const area = ({ timing }: Mapped) => totalArea(timing.netlist);
  for (const one of [...mapped].sort((a, b) => a.startArea - b.startArea)) {
    const met = best !== null && best.timing.delay <= target;
    const tooSlow = one.timing.delay > OUT_OF_REACH * target;
    if (!(met && (tooSlow || one.startArea > HOPELESS * area(best!)))) sizeGates(one.timing, variants, target);
    const { delay } = one.timing;
    results.push({ name: one.candidate.name, areaUm2: area(one), delayPs: delay, problem: null });
    const meets = delay <= target;
    const smaller = best && (meets ? area(one) < area(best) : area(one) * delay < area(best) * best.timing.delay);
    if (!best || (meets !== met ? meets : smaller)) best = one;
  }
  return best;
}

/** The circuit as one flat module for the candidates, and as a network of AND and NOT gates for the comparison at the end. */
async function prepare(yosys: Yosys, circuit: Circuit): Promise<{ design: string; reference: MappedNetlist }> {
  const { files, lines } = await readScript(yosys, circuit, 'circuit');
  const script = [
    ...lines,
    'write_rtlil design.il',
    'techmap',
    'aigmap',
    'opt_clean',
    'write_json reference.json',
  ].join('\n');
  const outputs = ['design.il', 'reference.json'];
  const { files: written } = await mustRun(yosys, 'the circuit cannot be read', { script, files, outputs });
  return { design: written['design.il']!, reference: readMapped(written['reference.json']!, gateLibrary) };
}

interface Flow {
  readonly yosys: Yosys;
  readonly library: Library;
  /** The cells for ABC. */
  readonly liberty: string;
  /** The technology map for adders; null where the library has none. */
  readonly adders: string | null;
  readonly design: string;
}

async function map(
  flow: Flow,
  candidate: Candidate,
): Promise<{ netlist: MappedNetlist; log: string } | { problem: string }> {
  const script = [
    'read_rtlil design.il',
    ...adderCommands(candidate.adders),
    `abc -liberty cells.lib -script ${candidate.abc}`,
    'opt_clean -purge',
    'write_json mapped.json',
  ].join('\n');
  const files = { 'design.il': flow.design, 'cells.lib': flow.liberty, 'adders.v': flow.adders ?? '' };
  const result = await flow.yosys.run({ script, files, outputs: ['mapped.json'] });
  const json = result.files['mapped.json'];
  if (!result.ok || json === undefined) return { problem: yosysMessage(result.log) };
  return { netlist: readMapped(json, flow.library), log: result.log };
}

/** Cells that may be used; throws when what is left cannot express every circuit. */
function usableCells(library: Library, patterns: readonly string[]): Cell[] {
  const globs = patterns.map((pattern) => new RegExp(`^${pattern.split('*').map(literal).join('.*')}$`));
  const cells = [...library.cells.values()].filter(
    (cell) => !cell.dontUse && cell.inputs.length > 0 && !globs.some((glob) => glob.test(cell.name)),
  );
  const inverter = cells.some(
    (cell) => cell.inputs.length === 1 && cell.outputs[0]!.function.program.some(({ kind }) => kind === 'not'),
  );
  const twoInputs = cells.some((cell) => cell.inputs.length === 2 && cell.outputs.length === 1);
  if (!inverter || !twoInputs) {
    throw new UserError(
      `${library.name} has no usable inverter or no two-input gate: give all Liberty files of the library`,
    );
  }
  return cells;
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
