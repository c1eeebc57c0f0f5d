// Several multipliers side by side: errors and gate cost of each, then area, delay and power where they are asked for.
// What fails keeps its row, with the reason: the other multipliers are not its concern.

import type { Synthesis } from '../hardware/synthesize.ts';
import type { OperandHistograms } from '../multiplier/metrics.ts';
import type { Simulation, SimulationReport } from '../netlist/circuit.ts';
import { cleanUp } from '../netlist/cleanup.ts';
import { isGeneratorSpec } from '../netlist/generators/registry.ts';
import { describeStructure } from '../netlist/structure.ts';
import type { ComparedMultiplier } from '../report/comparison.ts';
import { UserError } from '../tensor/errors.ts';
import { given } from '../tensor/given.ts';
import { type LoadedCircuit, type LoadedMultiplier, type LoadOptions, loadMultiplier, subjectName } from './load.ts';
import { measure } from './measure.ts';
import { loadHistograms, operandWidths } from './operands.ts';
import { type MultiplierSynthesisOptions, synthesizeMultiplier } from './synthesize.ts';

export interface CompareOptions extends LoadOptions {
  /** A file of operand histograms that weigh the errors of all of them. */
  readonly histograms?: string;
}

/** A multiplier of a comparison. */
export interface ComparedRow {
  /** A generator as it is, of a file its name. */
  readonly name: string;
  /** As it was named. */
  readonly spec: string;
  /** What was taken for granted in reading it, a sentence each, which names the file. */
  readonly notes: readonly string[];
  /** Absent, like what follows, where it could not be read. */
  readonly multiplier?: LoadedMultiplier;
  readonly simulation?: Pick<Simulation, 'report' | 'metrics'>;
  /** Unit gates relative to the cheapest exact 8×8 multiplier, whatever the widths; null for a table of products. */
  readonly gates?: number | null;
  /** Where it was synthesised. */
  readonly synthesis?: Synthesis;
  /** Why it could not be read, or not be synthesised. */
  readonly failure?: UserError;
}

/** Measures each multiplier, in order. Never throws a UserError of one of them: its row has it. */
export async function compareMultipliers(
  specs: readonly string[],
  { histograms, ...options }: CompareOptions = {},
): Promise<ComparedRow[]> {
  const rows: ComparedRow[] = [];
  for (const spec of specs) {
    const row = { name: isGeneratorSpec(spec) ? spec : subjectName(spec), spec, notes: [] };
    rows.push({ ...row, ...(await attempt(() => measured(spec, row.name, histograms, options))) });
  }
  return rows;
}

async function measured(spec: string, name: string, path: string | undefined, options: LoadOptions) {
  const multiplier = await loadMultiplier(spec, options);
  const histograms: OperandHistograms | undefined = path === undefined ? undefined : loadHistograms(path, multiplier);
  const { report, metrics, notes } = measure(multiplier, name, { histograms });
  const about = [...multiplier.notes, ...notes].map((note) => (note.startsWith(spec) ? note : `${spec}: ${note}`));
  // What constants and sharing make superfluous costs nothing in hardware.
  const gates = multiplier.network ? describeStructure(cleanUp(multiplier.network)).gateCost : null;
  return { notes: about, multiplier, simulation: { report: { ...report, name }, metrics }, gates };
}

export interface CompareSynthesisOptions extends Omit<MultiplierSynthesisOptions, 'histograms'> {
  /** A file of operand histograms for the power of all of them. */
  readonly histograms?: string;
  readonly signed?: boolean;
}

/** The rows with area, delay and power of those that have a netlist, one after the other. Takes seconds for each. */
export async function synthesizeRows(
  rows: readonly ComparedRow[],
  { histograms, signed, ...options }: CompareSynthesisOptions = {},
): Promise<ComparedRow[]> {
  const synthesised: ComparedRow[] = [];
  for (const row of rows) {
    const { multiplier } = row;
    if (multiplier?.kind !== 'network') synthesised.push(row);
    else {
      const result = attempt(async () => {
        const weights = histograms === undefined ? undefined : operandsOf(multiplier, histograms, signed);
        return { synthesis: await synthesizeMultiplier(multiplier, { ...options, ...given({ histograms: weights }) }) };
      });
      synthesised.push({ ...row, ...(await result) });
    }
  }
  return synthesised;
}

function operandsOf(circuit: LoadedCircuit, histograms: string, signed: boolean | undefined): OperandHistograms {
  return loadHistograms(histograms, operandWidths(circuit, signed));
}

/** What a step gives, or its failure. */
async function attempt<Result extends object>(
  step: () => Promise<Result>,
): Promise<Result | { readonly failure: UserError }> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { failure: error };
  }
}

/** The rows as the table of a comparison takes them (`comparisonTable`). */
export function comparedFigures(rows: readonly ComparedRow[]): ComparedMultiplier[] {
  return rows.map(({ name, simulation, gates = null, synthesis, failure }) => {
    const { report, metrics } = simulation ?? {};
    const figures = report &&
      metrics && {
        ...{ weightBits: report.weightBits, activationBits: report.activationBits, signed: report.signed },
        ...{ metrics, gates, ...given({ samples: report.sampled && report.pairs }) },
      };
    const costs = synthesis && {
      ...{ area: synthesis.area, delay: synthesis.delay, power: synthesis.power?.total ?? null },
    };
    return { name, ...given({ figures, synthesis: costs, problem: failure?.message }) };
  });
}

/** A row of the comparison as plain data, under the names of `tram simulate --json`. */
export type ReportedRow = Partial<Omit<SimulationReport, 'worst'>> & {
  readonly name: string;
  readonly gates?: number | null;
  readonly area?: number;
  readonly delay?: number;
  readonly power?: number | null;
  readonly problem?: string;
};

export interface ComparisonReport {
  /** Of area, delay and power, where there are any. */
  readonly units?: Synthesis['units'];
  readonly multipliers: readonly ReportedRow[];
}

/** The comparison as plain data. */
export function comparisonReport(rows: readonly ComparedRow[]): ComparisonReport {
  const units = rows.find(({ synthesis }) => synthesis)?.synthesis?.units;
  const multipliers = rows.map(({ name, simulation, gates, synthesis, failure }): ReportedRow => {
    const { worst: _, ...report } = simulation?.report ?? { worst: [] };
    return {
      name,
      ...report,
      ...(simulation ? given({ gates }) : {}),
      ...(synthesis ? { area: synthesis.area, delay: synthesis.delay, power: synthesis.power?.total ?? null } : {}),
      ...given({ problem: failure?.message }),
    };
  });
  return { ...given({ units }), multipliers };
}
