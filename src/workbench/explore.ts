// Everything that a page shows of one multiplier, as plain data that goes through JSON: its measures, its error at
// every pair of operands, its dots, its gates, the operands that it meets. The page draws; nothing is computed there
// but views of this.
// Invariant: what is not known is null with a sentence that says why, never left out in silence.
// Not here: where files come from (load.ts), pictures for print (figures.ts).

import { existsSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';
import { errorsOf } from '../multiplier/error.ts';
import { errorMetrics, type MetricsReport, metricsReport, type OperandHistograms } from '../multiplier/metrics.ts';
import type { ProductTable } from '../multiplier/table.ts';
import type { SimulationReport } from '../netlist/circuit.ts';
import { cleanUp } from '../netlist/cleanup.ts';
import { isGeneratorSpec } from '../netlist/generators/registry.ts';
import { netNames } from '../netlist/names.ts';
import { type GateKind, isGate, type Network, type NodeKind } from '../netlist/network.ts';
import { describeStructure } from '../netlist/structure.ts';
import type { DotDiagram } from '../report/dots.ts';
import { given } from '../tensor/given.ts';
import { dotsOf } from './figures.ts';
import { multiplierFiles } from './files.ts';
import { type LoadedMultiplier, type LoadOptions, loadMultiplier, readMultiplier, subjectName } from './load.ts';
import { measure } from './measure.ts';
import { loadHistograms } from './operands.ts';

/** A gate, an input or a constant of a drawn netlist. */
export interface DrawnNode {
  readonly kind: NodeKind;
  /** Numbers of nodes that stand before it. */
  readonly fanins: readonly number[];
  /** Of its net. */
  readonly name: string;
  /** What it is in the multiplier, where that is known: `partial product w2·x3`, `sum of a full adder, column 5`. */
  readonly role?: string;
}

export interface DrawnNetlist {
  /** In topological order; the first two are the constants 0 and 1. */
  readonly nodes: readonly DrawnNode[];
  readonly outputs: readonly { readonly name: string; readonly node: number }[];
}

/** What the gates cost, in unit gates (netlist/structure.ts), once what nothing needs is taken away. */
export interface GateCosts {
  readonly unitGates: number;
  /** To the cheapest exact 8×8 multiplier, and to the exact array of the same widths. */
  readonly gateCost: number;
  readonly normalizedCost: number;
  readonly gates: Readonly<Record<GateKind, number>>;
  /** Gates on the longest way from an operand to the product. */
  readonly depth: number;
  /** Gates of the netlist as it was read. */
  readonly read: number;
}

/** One multiplier, ready to be shown. */
export interface ExploredMultiplier {
  /** For people; and as it was named. */
  readonly name: string;
  readonly spec: string;
  /** What was taken for granted in reading it, a sentence each. */
  readonly notes: readonly string[];
  /** Over all operand pairs alike, or over random ones; with the worst of them. */
  readonly measures: SimulationReport;
  /** The same measures over the operands that it meets in its network; null where they are not known. */
  readonly met: MetricsReport | null;
  readonly operands: { readonly weight: readonly number[]; readonly activation: readonly number[] } | null;
  /**
   * product − exact of every pair of patterns, w · 2^activationBits + x: int32, little endian, deflated (raw), base64.
   */
  readonly errors: string | null;
  readonly withoutErrors: string | null;
  readonly dots: DotDiagram | null;
  readonly withoutDots: string | null;
  readonly netlist: DrawnNetlist | null;
  readonly withoutNetlist: string | null;
  readonly costs: GateCosts | null;
}

/** Widest operands, in bits together, whose errors are told pair by pair: 2^20 of them. */
const MOST_BITS = 20;
/** Gates of a netlist that is told gate by gate: what a browser still draws fluently. */
const MOST_GATES = 4000;
/** Worst operand pairs that are told. */
const WORST = 20;

/** How operands and products are read; by default as the generator or table says, else unsigned. */
export type ExploreOptions = Pick<LoadOptions, 'signed'>;

/** A generator such as `dadda:8x8`, or a file of a netlist or table. Throws a UserError. */
export async function exploreMultiplier(spec: string, { signed }: ExploreOptions = {}): Promise<ExploredMultiplier> {
  const multiplier = await loadMultiplier(spec, given({ signed }));
  if (isGeneratorSpec(spec)) return explored(multiplier, spec, dotsOf(spec));
  const found = explored(multiplier, subjectName(spec), dotsOf(spec), operandsBeside(spec, multiplier));
  // Sentences about a file tell its name; where it lies is not for everyone who sees the page.
  const folder = folderOf(spec);
  const { notes, withoutDots } = found;
  const here = (text: string) => (folder === '' ? text : text.replaceAll(folder, ''));
  return { ...found, notes: notes.map(here), withoutDots: withoutDots === null ? null : here(withoutDots) };
}

export { isGeneratorSpec as isGenerator };

const folderOf = (path: string): string => /^.*[/\\]/.exec(path)?.[0] ?? '';

/** A file that is at hand and nowhere on disk, such as one that was dropped on a page. Throws a UserError. */
export async function exploreFile(
  file: string,
  bytes: Uint8Array,
  { signed }: ExploreOptions = {},
): Promise<ExploredMultiplier> {
  const multiplier = await readMultiplier(file, bytes, given({ signed }));
  return explored(multiplier, subjectName(file), 'no dot diagram: a file alone does not say which adders were removed');
}

/** The operands beside a file of a run: `multiplier.operands.json` beside `multiplier.v`. */
function operandsBeside(path: string, multiplier: LoadedMultiplier): OperandHistograms | undefined {
  const beside = `${folderOf(path)}${multiplierFiles(subjectName(path)).operands}`;
  return existsSync(beside) ? loadHistograms(beside, multiplier) : undefined;
}

function explored(
  multiplier: LoadedMultiplier,
  name: string,
  dots: DotDiagram | string,
  operands?: OperandHistograms,
): ExploredMultiplier {
  const { name: spec, network, weightBits, activationBits } = multiplier;
  const { report, table, notes } = measure(multiplier, name, { worst: WORST });
  const isTold = table !== null && weightBits + activationBits <= MOST_BITS;
  const drawn = network ? drawnNetlist(network) : 'a table of products has no gates';
  return {
    ...{ name, spec, notes: [...multiplier.notes, ...notes], measures: report },
    met: table && operands ? metricsReport(errorMetrics(table, operands)) : null,
    operands: operands ? { weight: Array.from(operands.weight), activation: Array.from(operands.activation) } : null,
    errors: isTold ? packedErrors(table) : null,
    withoutErrors: isTold ? null : `${weightBits}×${activationBits} bits have too many pairs to show each of them`,
    ...(typeof dots === 'string' ? { dots: null, withoutDots: dots } : { dots, withoutDots: null }),
    ...(typeof drawn === 'string'
      ? { netlist: null, withoutNetlist: drawn }
      : { netlist: drawn, withoutNetlist: null }),
    costs: network ? costsOf(network) : null,
  };
}

function packedErrors(table: ProductTable): string {
  const errors = errorsOf(table);
  const bytes = new DataView(new ArrayBuffer(4 * errors.length));
  errors.forEach((error, pair) => {
    bytes.setInt32(4 * pair, error, true);
  });
  return deflateRawSync(new Uint8Array(bytes.buffer)).toString('base64');
}

function costsOf(network: Network): GateCosts {
  const { unitGateCost, gateCost, normalizedCost, gates } = describeStructure(cleanUp(network));
  const costs = { unitGates: unitGateCost, gateCost, normalizedCost, gates };
  return { ...costs, depth: Math.max(0, ...depths(cleanUp(network))), read: network.gateCount };
}

/** Gates on the longest way to each node. */
function depths({ nodes }: Network): number[] {
  const depth: number[] = [];
  for (const { kind, fanins } of nodes) {
    const before = fanins.reduce((most, fanin) => Math.max(most, depth[fanin]!), 0);
    depth.push(before + (isGate(kind) ? 1 : 0));
  }
  return depth;
}

/** The gates of a network with their names, or why they are not told. */
function drawnNetlist(network: Network): DrawnNetlist | string {
  if (network.gateCount > MOST_GATES) {
    return `${network.gateCount} gates are too many to draw; at most ${MOST_GATES} are`;
  }
  const roles = rolesOf(network);
  const names = netNames(network, (port) => port);
  return {
    nodes: network.nodes.map(({ kind, fanins }, signal) => {
      const role = roles.get(signal);
      return { kind, fanins, name: names[signal]!, ...(role === undefined ? {} : { role }) };
    }),
    outputs: network.outputs.map(({ name, signal }) => ({ name, node: signal })),
  };
}

function rolesOf({ partialProducts, adders }: Network): Map<number, string> {
  const roles = new Map<number, string>();
  for (const { i, j, signal } of partialProducts) roles.set(signal, `partial product w${i}·x${j}`);
  for (const { kind, stage, column, sum, carry } of adders) {
    const adder = `a ${kind} adder, stage ${stage}, column ${column}`;
    if (sum !== null) roles.set(sum, `sum of ${adder}`);
    if (carry !== null) roles.set(carry, `carry of ${adder}`);
  }
  return roles;
}
