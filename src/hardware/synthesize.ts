// Synthesis of a combinational circuit into a cell library: several candidates through Yosys and ABC, each sized
// against the delay target by our own timing analysis, the best one kept, checked against the circuit and measured.
// Choice: the least area, or the least power, among those that meet the target; if none does, the least product of it
// and delay.
// Invariant: the mapped netlist computes what the circuit computes (all input patterns up to 2^16, else random ones);
// deterministic for one version of Yosys.

import { UserError } from '../tensor/errors.ts';
import { matchesPattern } from '../tensor/names.ts';
import { abcCells, isAndLike, isInverter } from './abc-cells.ts';
import { adderMap, DUAL_ADDER, findAdders, type LibraryAdders } from './adders.ts';
import { ALL, adderCommands, type Candidate, DUAL, mappingCommands, QUICK } from './candidates.ts';
import type { Cell, Library } from './liberty/library.ts';
import { type LibertyText, readLiberties } from './liberty/read.ts';
import { writeTimingLiberty } from './liberty/write.ts';
import { cellCounts, type MappedNetlist, readMapped, totalArea } from './mapped.ts';
import { dualAdders } from './polarity.ts';
import { analysePower, checkPower, type Power, type PowerOptions } from './power.ts';
import { type Comparison, compareMapped, gateLibrary } from './reference.ts';
import { CellVariants, type SizingParameters, sizeGates } from './sizing.ts';
import { unitGateLiberty, unitGateUnits } from './technology/unit-gate.ts';
import { checkTiming, type PathStep, Timing, type TimingOptions } from './timing.ts';
import { libraryUnits, type Units } from './units.ts';
import { writeMappedBlif, writeMappedVerilog } from './write.ts';
import { withYosys, type YosysChoice } from './yosys/choose.ts';
import { type Circuit, readScript } from './yosys/design.ts';
import { mustRun, type Yosys, yosysMessage } from './yosys/tool.ts';

export interface SynthesisOptions extends TimingOptions, PowerOptions {
  readonly circuit: Circuit;
  /** Liberty texts of one corner, together one library (default: the built-in technology). */
  readonly liberty?: readonly LibertyText[] | 'builtin';
  /**
   * In the units of the result: ps (default 500, as the TRAM paper's multipliers), or FO4 delays (19); Infinity asks
   * for area alone.
   */
  readonly delayTarget?: number;
  /**
   * `quick`: one candidate, a fraction of a second; `best` (default): all of them, a few seconds for an 8-bit
   * multiplier.
   */
  readonly effort?: 'quick' | 'best';
  /** What is least in the candidate that is kept, of those that meet the delay target (default `area`). */
  readonly objective?: 'area' | 'power';
  /** Cells not to use, besides those the library excludes; `*` stands for anything. Default: DEFAULT_DONT_USE. */
  readonly dontUse?: readonly string[];
  /** How far the sizing of gates goes; what is not given is as in `sizingDefaults`. */
  readonly sizing?: Partial<SizingParameters>;
  /** Where Yosys runs (default `bundled`); pass an open one to keep it warm. */
  readonly yosys?: YosysChoice;
}

export interface CandidateResult {
  readonly name: string;
  /** null where the candidate failed; `problem` says why. */
  readonly area: number | null;
  readonly delay: number | null;
  /** Where power is the objective and the candidate did not fail. */
  readonly power?: number;
  readonly problem: string | null;
}

/** Area, delay and power are in `units`: µm², ps and mW of a library, gates of the built-in technology. */
export interface Synthesis {
  readonly units: Pick<Units, 'area' | 'delay' | 'power'>;
  readonly cells: Readonly<Record<string, number>>;
  readonly area: number;
  readonly delay: number;
  readonly meetsTarget: boolean;
  /** null where the library gives no supply voltage. */
  readonly power: Power | null;
  /** From a primary input to the latest output. */
  readonly criticalPath: readonly (Omit<PathStep, 'arrivalPs'> & { readonly arrival: number })[];
  readonly mappedVerilog: string;
  readonly mappedBlif: string;
  /** How the mapped netlist was compared with the circuit. */
  readonly verified: Comparison;
  /** The candidate that was kept, and what every one gave. */
  readonly candidate: string;
  readonly candidates: readonly CandidateResult[];
  readonly library: string;
  /** What was left out of the library, and why: one sentence each. */
  readonly notes: readonly string[];
  readonly yosysVersion: string;
  /** The log of Yosys and ABC for the candidate that was kept. */
  readonly log: string;
}

/**
 * Goes up with every change of the flow that changes a result (candidates, sizing, timing, power): results that are
 * kept (synthesis-cache.ts) belong to one version.
 */
export const SYNTHESIS_VERSION = 1;
/** Ties (constants need no cell here), hold buffers and clock cells. */
export const DEFAULT_DONT_USE: readonly string[] = ['TIE*', 'HB*', 'CK*'];
export const DEFAULT_DELAY_TARGET = { ps: 500, gates: 19 } as const;
/**
 * A candidate this much larger than the best so far, or this much slower than the target, is not sized once another
 * meets it.
 */
const HOPELESS = 1.05;
const OUT_OF_REACH = 1.25;
/** In notes. */
const NAMED_CELLS = 5;

/** Throws a UserError for circuits and libraries that cannot be used, with Yosys' own message where it has one. */
export function synthesize(options: SynthesisOptions): Promise<Synthesis> {
  const builtIn = !options.liberty || options.liberty === 'builtin';
  const target = options.delayTarget ?? DEFAULT_DELAY_TARGET[builtIn ? 'gates' : 'ps'];
  const units = builtIn ? unitGateUnits : libraryUnits;
  if (!(target > 0)) {
    throw new UserError(`a delay target of ${target} ${units.delay}: expected a positive number, or Infinity`);
  }
  checkTiming(options);
  checkPower(options);
  const { scale } = units;
  return withYosys(options.yosys ?? 'bundled', (yosys) => run(yosys, options, units, target * scale.ps));
}

interface Mapped {
  readonly candidate: Candidate;
  readonly timing: Timing;
  readonly log: string;
  /** µm² before sizing. */
  readonly startArea: number;
}

async function run(yosys: Yosys, options: SynthesisOptions, units: Units, target: number): Promise<Synthesis> {
  const texts = !options.liberty || options.liberty === 'builtin' ? [unitGateLiberty] : options.liberty;
  const library = readLiberties(texts);
  const { cells, notes } = usableCells(library, options.dontUse ?? DEFAULT_DONT_USE);
  const variants = new CellVariants(cells);
  const prepared = await prepare(yosys, options.circuit);
  const abc = abcCells(cells);
  const adders = findAdders(abc.cells);
  const liberty = writeTimingLiberty(abc.cells);
  const flow = { yosys, library, abc, liberty, adders, design: prepared.design };
  const candidates = candidatesOf(options, adders);
  const results: CandidateResult[] = [];
  const mapped: Mapped[] = [];
  for (const candidate of candidates) {
    const outcome = await map(flow, candidate);
    if ('problem' in outcome) {
      results.push({ name: candidate.name, area: null, delay: null, problem: outcome.problem });
    } else {
      const timing = new Timing(outcome.netlist, options);
      mapped.push({ candidate, timing, log: outcome.log, startArea: totalArea(outcome.netlist) });
    }
  }
  const cost = options.objective === 'power' ? (timing: Timing) => analysePower(library, timing, options).total : null;
  const best = sizeBest(mapped, variants, target, options.sizing, results, cost);
  if (!best) throw new UserError(`synthesis failed: ${results[0]?.problem ?? 'no candidate'}`);
  const { netlist } = best.timing;
  const verified = compareMapped(prepared.reference, netlist);
  const { um2, ps, mW } = units.scale;
  const power = library.voltage === null ? null : analysePower(library, best.timing, options);
  return {
    units: { area: units.area, delay: units.delay, power: units.power },
    cells: cellCounts(netlist),
    area: totalArea(netlist) / um2,
    delay: best.timing.delay / ps,
    meetsTarget: best.timing.delay <= target,
    power: power && scaledPower(power, mW),
    criticalPath: best.timing.criticalPath().map(({ arrivalPs, ...step }) => ({ ...step, arrival: arrivalPs / ps })),
    mappedVerilog: writeMappedVerilog(netlist),
    mappedBlif: writeMappedBlif(netlist),
    verified,
    candidate: best.candidate.name,
    candidates: results.map((one) => ({
      ...one,
      area: one.area === null ? null : one.area / um2,
      delay: one.delay === null ? null : one.delay / ps,
      ...(one.power !== undefined ? { power: one.power / mW } : {}),
    })),
    library: library.name,
    notes: [...library.notes, ...notes],
    yosysVersion: await yosys.version(),
    log: best.log,
  };
}

/** What is tried with the adders that the library has. */
function candidatesOf({ effort, objective }: SynthesisOptions, { full }: LibraryAdders): readonly Candidate[] {
  if (effort === 'quick') return QUICK;
  if (!full) return ALL.filter(({ adders }) => adders === 'none');
  const inverts = full.sum.inverted || full.carry.inverted;
  return objective === 'power' && inverts ? [...ALL, ...DUAL] : ALL;
}

function scaledPower({ internal, switching, leakage, total }: Power, unit: number): Power {
  return { internal: internal / unit, switching: switching / unit, leakage: leakage / unit, total: total / unit };
}

/**
 * Sizes the candidates, the smallest first, as long as they may still win; adds what came out of each to `results`.
 * `power` where it decides.
 */
function sizeBest(
  mapped: readonly Mapped[],
  variants: CellVariants,
  target: number,
  sizing: Partial<SizingParameters> | undefined,
  results: CandidateResult[],
  power: ((timing: Timing) => number) | null,
): Mapped | null {
  let best: (Mapped & { readonly cost: number }) | null = null;
  for (const one of [...mapped].sort((a, b) => a.startArea - b.startArea)) {
    const { timing } = one;
    const met = best !== null && best.timing.delay <= target;
    const tooSlow = timing.delay > OUT_OF_REACH * target;
    const tooLarge = !power && best !== null && one.startArea > HOPELESS * best.cost;
    if (!(met && (tooSlow || tooLarge))) sizeGates(timing, variants, target, sizing);
    const { delay } = timing;
    const area = totalArea(timing.netlist);
    const cost = power ? power(timing) : area;
    results.push({ name: one.candidate.name, area, delay, ...(power ? { power: cost } : {}), problem: null });
    const meets = delay <= target;
    const less = best && (meets ? cost < best.cost : cost * delay < best.cost * best.timing.delay);
    if (!best || (meets !== met ? meets : less)) best = { ...one, cost };
  }
  return best;
}

/**
 * The circuit as one flat module for the candidates, and as a network of AND and NOT gates for the comparison at the
 * end.
 */
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
  readonly abc: ReturnType<typeof abcCells>;
  /** Its cells as Liberty text. */
  readonly liberty: string;
  readonly adders: LibraryAdders;
  readonly design: string;
}

async function map(
  flow: Flow,
  candidate: Candidate,
): Promise<{ netlist: MappedNetlist; log: string } | { problem: string }> {
  const extraction = adderCommands(candidate.adders);
  const design = candidate.dual ? await withDuals(flow, extraction) : flow.design;
  if (typeof design !== 'string') return design;
  const script = [
    'read_rtlil design.il',
    ...(candidate.dual ? [] : extraction),
    ...mappingCommands(candidate.adders),
    `abc -liberty cells.lib -script ${candidate.abc}`,
    ...(flow.abc.withoutBuffer === null ? [] : ['techmap -map buffer.v']),
    'opt_clean -purge',
    'write_json mapped.json',
  ].join('\n');
  const files = {
    'design.il': design,
    'cells.lib': flow.liberty,
    'adders.v': adderMap(flow.adders) ?? '',
    'buffer.v': flow.abc.withoutBuffer ?? '',
  };
  const result = await flow.yosys.run({ script, files, outputs: ['mapped.json'] });
  const json = result.files['mapped.json'];
  if (!result.ok || json === undefined) return { problem: yosysMessage(result.log) };
  const netlist = readMapped(json, { ...flow.library, cells: flow.abc.byName });
  flow.abc.restore(netlist);
  return { netlist, log: result.log };
}

/** The circuit with its adders taken out, in Yosys' RTLIL; those that are to be duals under another name. */
async function withDuals(
  { yosys, design, adders }: Flow,
  extraction: readonly string[],
): Promise<string | { problem: string }> {
  const script = ['read_rtlil design.il', ...extraction, 'write_rtlil adders.il', 'write_json adders.json'].join('\n');
  const outputs = ['adders.il', 'adders.json'];
  const { ok, files, log } = await yosys.run({ script, files: { 'design.il': design }, outputs });
  const { 'adders.il': rtlil, 'adders.json': json } = files;
  if (!ok || rtlil === undefined || json === undefined) return { problem: yosysMessage(log) };
  const duals = new Set(dualAdders(json, adders.full!));
  // JSON tells a name without the backslash of one that is a user's.
  return rtlil.replace(/^( *cell )\$fa (\\?(\S+))$/gm, (line, cell: string, name: string, plain: string) =>
    duals.has(plain) ? `${cell}\\${DUAL_ADDER} ${name}` : line,
  );
}

/**
 * Cells that may be used, and a note about those that have no delay; throws when what is left cannot express every
 * circuit.
 */
function usableCells(library: Library, patterns: readonly string[]): { cells: Cell[]; notes: string[] } {
  const allowed = [...library.cells.values()].filter(
    (cell) =>
      !cell.dontUse && cell.inputs.length > 0 && !patterns.some((pattern) => matchesPattern(pattern, cell.name)),
  );
  const cells = allowed.filter((cell) => cell.timed);
  const untimed = allowed.filter((cell) => !cell.timed).map(({ name }) => name);
  const missing = [
    ...(cells.some(isInverter) ? [] : ['inverter']),
    ...(cells.some(isAndLike) ? [] : ['AND, OR, NAND or NOR gate of two inputs']),
  ];
  const more = untimed.length > NAMED_CELLS ? ` and ${untimed.length - NAMED_CELLS} more` : '';
  const note =
    `cells without complete delay tables (cell_rise, cell_fall, rise_transition, fall_transition from every input) are not used: ` +
    `${untimed.slice(0, NAMED_CELLS).join(', ')}${more}`;
  if (missing.length > 0) {
    throw new UserError(
      `${library.name} has no usable ${missing.join(' and no ')}: ${untimed.length > 0 ? `${note}; expected NLDM tables` : 'give all Liberty files of the library'}`,
    );
  }
  return { cells, notes: untimed.length > 0 ? [`${library.name}: ${note}`] : [] };
}
