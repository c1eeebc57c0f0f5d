// Pictures of a multiplier: the dots of its partial products and adders, the map of its errors, their distribution, its
// operands. The one place where a multiplier becomes pictures: the report of a run and `tram draw` both take them here;
// report/ knows the marks alone.
// Invariant: a dot diagram is drawn only from adders that are known (of a generator, or in a report of the mapping),
// never guessed from gates.

import { existsSync } from 'node:fs';
import { errorsOf } from '../multiplier/error.ts';
import type { OperandHistograms } from '../multiplier/metrics.ts';
import type { ProductTable } from '../multiplier/table.ts';
import { arrayMultiplier } from '../netlist/generators/array.ts';
import { generateFromSpec, isGeneratorSpec } from '../netlist/generators/registry.ts';
import { type Network, ONE } from '../netlist/network.ts';
import { multiplierPorts } from '../netlist/ports.ts';
import { describeStructure, type StructureDescription } from '../netlist/structure.ts';
import { type DotDiagram, dotDiagramSvg } from '../report/dots.ts';
import { errorHeatmapSvg, errorHistogramSvg, errorSummary } from '../report/heatmap.ts';
import { operandsSvg } from '../report/operands.ts';
import { UserError } from '../tensor/errors.ts';
import { readBytes, readJson, sha256 } from '../tensor/files.ts';
import { type LoadedMultiplier, productsOf, subjectName } from './load.ts';

export interface NamedFigure {
  /** File name without extension. */
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  readonly svg: string;
  /** The same for a narrow screen. */
  readonly narrow?: string;
}

export interface FigureOptions {
  /**
   * The pictures stand alone: a title and a summary inside, and a distribution also where no product is wrong. Default:
   * false, for a page whose captions say both.
   */
  readonly alone?: boolean;
}

/**
 * Which partial products and adders of the exact multiplier a netlist has kept, and its error over all operand pairs.
 */
export async function multiplierFigures(
  name: string,
  structure: StructureDescription | undefined,
  table: ProductTable,
  options: FigureOptions = {},
): Promise<NamedFigure[]> {
  const dots = structure ? [dotsFigure(name, dotsOfMapped(structure))] : [];
  return [...dots, ...(await errorFigures(name, table, options))];
}

/** Widest operands of a picture, in bits together: a map of 2^20 pairs is still drawn in a second. */
const MOST_BITS = 20;

export interface Drawing {
  readonly figures: readonly NamedFigure[];
  /** Why there is no dot diagram; null where there is one. */
  readonly withoutDots: string | null;
}

/**
 * The pictures of a multiplier as it was loaded, each to stand alone. Throws a UserError beyond 20 operand bits
 * together.
 */
export async function drawMultiplier(multiplier: LoadedMultiplier): Promise<Drawing> {
  const { name, weightBits, activationBits } = multiplier;
  if (weightBits + activationBits > MOST_BITS) {
    throw new UserError(
      `${name}: ${weightBits}×${activationBits} bits are too many to draw; expected at most ${MOST_BITS} together`,
    );
  }
  const found = dotsOf(name);
  const subject = subjectName(name);
  const dots = typeof found === 'string' ? [] : [dotsFigure(subject, found)];
  const errors = await errorFigures(subject, productsOf(multiplier), { alone: true });
  return { figures: [...dots, ...errors], withoutDots: typeof found === 'string' ? found : null };
}

/** The dots of a generator or of a file, or why there are none. */
export function dotsOf(spec: string): DotDiagram | string {
  return isGeneratorSpec(spec) ? generatedDots(spec) : dotsBeside(spec);
}

function dotsFigure(name: string, dots: DotDiagram): NamedFigure {
  return {
    name: `${name}-dots`,
    title: 'Structure',
    caption: 'partial products and adders that are left of the exact multiplier',
    svg: dotDiagramSvg(dots),
  };
}

async function errorFigures(
  name: string,
  products: ProductTable,
  { alone = false }: FigureOptions,
): Promise<NamedFigure[]> {
  const { weightBits, activationBits } = products;
  const table = { errors: errorsOf(products), weightBits, activationBits };
  const summary = errorSummary(table);
  // Without an argument the pictures have titles of their own; null leaves them out.
  const heading = alone ? undefined : null;
  const map = {
    name: `${name}-error-map`,
    title: 'Error map',
    caption: `error of the product for every pair of operands: ${summary}`,
    svg: await errorHeatmapSvg(table, heading),
  };
  if (!alone && table.errors.every((error) => error === 0)) return [map];
  const distribution = {
    name: `${name}-error-histogram`,
    title: alone ? 'Error histogram' : 'Error distribution',
    caption: `over all pairs of operands: ${summary}`,
    svg: await errorHistogramSvg(table, heading),
  };
  return [map, distribution];
}

/** How often each code occurs among a multiplier's multiplications. */
export async function operandsFigure(name: string, operands: OperandHistograms): Promise<NamedFigure> {
  return {
    name: `${name}-operands`,
    title: 'Operands',
    caption: 'how often each operand occurs in the multiplications of the calibration images',
    svg: await operandsSvg(operands, null),
  };
}

/** The exact multiplier's cells, each marked kept or removed; where the adders are arranged anew, the tree's own. */
function dotsOfMapped(structure: StructureDescription): DotDiagram {
  const { weightBits, activationBits } = structure;
  const exact = describeStructure(arrayMultiplier(weightBits, activationBits));
  const products = new Set(structure.partialProducts.map(({ i, j }) => `${i},${j}`));
  const kept = new Set(structure.adders.map(({ id }) => id));
  const published = structure.adders.every(
    ({ id, stage, column }) => exact.adders[id]?.stage === stage && exact.adders[id].column === column,
  );
  const adders = published ? exact.adders : structure.adders;
  const count = (wanted: 'full' | 'half') => exact.adders.filter(({ kind }) => kind === wanted).length;
  return {
    weightBits,
    activationBits,
    partialProducts: exact.partialProducts.map(({ i, j }) => ({ i, j, kept: products.has(`${i},${j}`) })),
    adders: adders.map(({ id, stage, column, kind }) => ({ stage: stage - 1, column, kind, kept: kept.has(id) })),
    before: { full: count('full'), half: count('half') },
    constants: structure.constants.map(({ column }) => column),
  };
}

/** Generators whose every cell is a partial product or an adder. */
const drawable: readonly string[] = ['array', 'wallace', 'dadda', 'truncated', 'upper', 'broken-array'];

/** The dots of a generator as it was built, or why there are none. */
function generatedDots(spec: string): DotDiagram | string {
  const { kind, asBuilt } = generateFromSpec(spec);
  if (drawable.includes(kind)) return dotsOfTree(asBuilt);
  return `no dot diagram: a ${kind} multiplier is more than partial products and adders`;
}

/** A network that is all partial products and adders. */
function dotsOfTree(network: Network): DotDiagram {
  const { weight, activation, product } = multiplierPorts(network);
  const kept = new Set(network.partialProducts.map(({ i, j }) => `${i},${j}`));
  const adders = network.adders.map(({ stage, column, kind, inputs }) => ({
    stage: stage - 1,
    column,
    kind,
    kept: true,
    constantInputs: inputs.filter((input) => input === ONE).length,
  }));
  const added = adders.flatMap(({ column, constantInputs }) => Array<number>(constantInputs).fill(column));
  return {
    weightBits: weight.length,
    activationBits: activation.length,
    partialProducts: activation.flatMap((_, j) => weight.map((_, i) => ({ i, j, kept: kept.has(`${i},${j}`) }))),
    adders,
    constants: [...added, ...product.flatMap((signal, column) => (signal === ONE ? [column] : []))],
  };
}

/** What the mapping says about a file in the report beside it. */
interface MappingReport {
  readonly structure?: StructureDescription;
  readonly certificate?: { readonly sha256?: Readonly<Record<string, string>> };
}

const forms: readonly (readonly [form: string, ending: RegExp])[] = [
  ['verilog', /\.v$/i],
  ['blif', /\.blif$/i],
  ['table', /\.npy$/i],
];

/**
 * The dots that the report beside a file tells of it, once its checksum says that it belongs to that very file; or why
 * there are none.
 */
function dotsBeside(file: string): DotDiagram | string {
  const found = forms.find(([, ending]) => ending.test(file));
  const report = found && file.replace(found[1], '.errors.json');
  if (!found || !report || !existsSync(report)) {
    return 'no dot diagram: the file holds gates or products only, not the adders they came from';
  }
  const { structure, certificate } = (readJson(report) ?? {}) as MappingReport;
  if (!structure || certificate?.sha256?.[found[0]] !== sha256(readBytes(file))) {
    return `no dot diagram: ${report} is no report of tram map about this very file`;
  }
  if (structure.adders.length > 0 && structure.partialProducts.length === 0) {
    return 'no dot diagram: its adders add up other bits than partial products';
  }
  return dotsOfMapped(structure);
}
