// Something that multiplies, as a command line names it: a generator, a netlist or a table, packed or not. Every
// command and every phase takes its multipliers through here, so that a file means the same everywhere.
// Invariant: a loaded multiplier has two operand buses and a product; what was taken for granted in reading it is in
// `notes`.

import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import type { Circuit } from '../hardware/yosys/design.ts';
import type { ProductTable } from '../multiplier/table.ts';
import { MAX_EXHAUSTIVE_BITS } from '../multiplier/widths.ts';
import { readBlif } from '../netlist/blif/read.ts';
import { circuitFormat, MAX_NETLIST_BYTES } from '../netlist/circuit.ts';
import { cleanUp } from '../netlist/cleanup.ts';
import { firstDifferingPattern } from '../netlist/compiled/network.ts';
import { MAX_TABLE_BYTES, readTable, type TableOptions, tableForm } from '../netlist/formats/read.ts';
import { publishedWarnings } from '../netlist/formats/text.ts';
import { generateFromSpec, isGeneratorSpec, meantAsGenerator } from '../netlist/generators/registry.ts';
import { Network, type Signal, ZERO } from '../netlist/network.ts';
import { groupBuses, multiplierPorts } from '../netlist/ports.ts';
import { simulate } from '../netlist/simulate.ts';
import { generatedSubject } from '../netlist/subject.ts';
import { UserError } from '../tensor/errors.ts';
import { readBytes, sha256 } from '../tensor/files.ts';
import { given } from '../tensor/given.ts';
import { inflateLimited } from '../tensor/gzip.ts';
import { printable } from '../tensor/names.ts';
import { openCells } from './cells.ts';
import { readAnyVerilog } from './verilog.ts';

export interface LoadOptions extends Pick<TableOptions, 'bits' | 'order'> {
  /** Operands and products of a file are two's complement; by default as the table says, else unsigned. */
  readonly signed?: boolean;
  /** Undriven nets are the constant 0 instead of an error. */
  readonly lenient?: boolean;
  /** The module or model to take; by default the only one that no other instantiates. */
  readonly top?: string;
  /** Paths of Liberty files whose cells the netlist may instantiate. */
  readonly liberty?: readonly string[];
}

interface Loaded {
  /** As it was named. */
  readonly name: string;
  /** What the reader took for granted, a sentence each, for the user to see once. */
  readonly notes: readonly string[];
  /** Of the bytes of the file, or of the spec of a generator; hexadecimal. */
  readonly sha256: string;
}

/** A netlist or generator; it need not be a multiplier. */
export interface LoadedCircuit extends Loaded {
  readonly kind: 'network';
  readonly network: Network;
  readonly table?: undefined;
  /** Known of generators; netlist files do not say. */
  readonly signed?: boolean;
  /** Those of the notes that the published simulator prints, in its words. */
  readonly warnings: readonly string[];
  /** The same circuit for synthesis. */
  readonly circuit: Circuit;
}

interface LoadedTable extends Loaded {
  readonly kind: 'table';
  readonly table: ProductTable;
  readonly network?: undefined;
  readonly circuit?: undefined;
}

/** A multiplier: with a network and a circuit for synthesis, or (of kind table) with its products alone. */
export type LoadedMultiplier = (LoadedCircuit | LoadedTable) & {
  readonly weightBits: number;
  readonly activationBits: number;
  readonly signed: boolean;
};

/**
 * Loads what `spec` names: a generator (`dadda:8x8`), or a file: BLIF, Verilog or a table, any of them also as .gz.
 * Throws a UserError.
 */
export async function loadMultiplier(spec: string, options: LoadOptions = {}): Promise<LoadedMultiplier> {
  const place = isGeneratorSpec(spec) ? { spec } : { spec, read: fromDisk(spec) };
  return multiplierAt(place, options);
}

/**
 * The same of a file that is at hand: its name, which tells the form as that of a path does, and its bytes, packed if
 * the name ends in `.gz`. No file is opened but those of `liberty`. Throws a UserError.
 */
export function readMultiplier(file: string, bytes: Uint8Array, options: LoadOptions = {}): Promise<LoadedMultiplier> {
  return multiplierAt({ spec: file, read: () => bytes }, options);
}

/** What a spec names; `read` gives the bytes of a file, of at most so many. Absent for a generator. */
interface Place {
  readonly spec: string;
  readonly read?: (most: number) => Uint8Array;
}

function fromDisk(path: string): (most: number) => Uint8Array {
  return (most) => {
    // Says what a spec looks like.
    if (meantAsGenerator(path) && !existsSync(path)) generateFromSpec(path);
    return readBytes(path, most);
  };
}

async function multiplierAt(place: Place, options: LoadOptions): Promise<LoadedMultiplier> {
  const { spec } = place;
  const packed = tableFile(place);
  if (packed) {
    const { bits, order } = options;
    const { table, notes } = readTable(packed.bytes, packed.file, { bits, order, signed: options.signed || undefined });
    const { weightBits, activationBits, signed } = table;
    return { kind: 'table', name: spec, table, weightBits, activationBits, signed, notes, sha256: packed.digest };
  }
  const loaded = await circuitAt(place, options);
  // A generator's kind says how it counts; a netlist file does not.
  const signed = loaded.signed ?? options.signed ?? false;
  const { network, note } = withoutSurplusBits(loaded.network, signed);
  const { weight, activation } = multiplierPorts(network);
  const kept = options.signed && !signed ? ['an unsigned multiplier by its kind; --signed is about files'] : [];
  const notes = [...loaded.notes, ...[...kept, ...note].map((text) => `${printable(spec)}: ${text}`)];
  return { ...loaded, network, notes, weightBits: weight.length, activationBits: activation.length, signed };
}

/** Loads a netlist or generator of any function; a table is a UserError. */
export function loadCircuit(spec: string, options: LoadOptions = {}): Promise<LoadedCircuit> {
  return circuitAt(isGeneratorSpec(spec) ? { spec } : { spec, read: fromDisk(spec) }, options);
}

async function circuitAt({ spec, read }: Place, options: LoadOptions): Promise<LoadedCircuit> {
  if (!read) {
    const { network, signed = false } = generatedSubject(spec) as { network: Network; signed?: boolean };
    const circuit = { network };
    return { kind: 'network', name: spec, network, signed, circuit, warnings: [], notes: [], sha256: sha256(spec) };
  }
  const { file, bytes, digest } = unpacked(spec, MAX_NETLIST_BYTES, read);
  if (tableForm(bytes, file) !== null) {
    throw new UserError(
      `${spec}: a table has no gates to synthesise; expected BLIF, Verilog or a generator like dadda:8x8`,
    );
  }
  const text = bytes.toString('utf8');
  const cells = await openCells(options.liberty);
  const { lenient = false, top } = options;
  const reading = { file, lenient, cells, ...given({ top }) };
  const verilog = circuitFormat(text, file) === 'verilog';
  const found = verilog ? await readAnyVerilog(text, reading) : { ...readBlif(text, reading), signedPorts: [] };
  const { network, roots } = found;
  const warnings = publishedWarnings(lenient ? found : { ...found, undriven: [] });
  const own = [...found.notes, ...cells.notes(), ...signedNote(found.signedPorts, options.signed)];
  const notes = [...warnings, ...own.map((note) => `${printable(file)}: ${note}`)];
  // Yosys knows no library cells; and of undriven nets it would not know that they are 0.
  const asNetwork = !verilog || cells.used.size > 0 || found.undriven.length > 0;
  const named = top === undefined && roots.length === 1 ? {} : { top: network.name };
  const circuit = asNetwork ? { network } : { verilog: text, file, ...named };
  return { kind: 'network', name: spec, network, circuit, warnings, notes, sha256: digest };
}

function signedNote(ports: readonly string[], signed: boolean | undefined): string[] {
  if (ports.length === 0 || signed !== undefined) return [];
  return [
    `declared signed, but read as unsigned: ${ports.join(', ')}; --signed reads operands and product as two’s complement`,
  ];
}

/**
 * The network without the highest bits of its product that say nothing, where it has more bits than a product can have:
 * always 0, or of a signed one copies of the sign.
 */
function withoutSurplusBits(network: Network, signed: boolean): { network: Network; note: string[] } {
  const products = groupBuses(network.outputs);
  const most = network.inputs.length;
  const [product] = products;
  if (products.length !== 1 || !product || product.ports.length <= most) return { network, note: [] };
  const clean = cleanUp(network);
  const signals = new Map(clean.outputs.map(({ name, signal }) => [name, signal]));
  const surplus = product.ports.slice(most);
  const extension = signed ? signals.get(product.ports[most - 1]!.name)! : ZERO;
  if (
    !allEqual(
      clean,
      surplus.map(({ name }) => signals.get(name)!),
      extension,
    )
  )
    return { network, note: [] };
  const left = new Set(surplus.map(({ name }) => name));
  const shorter = new Network(network.name);
  shorter.nodes.splice(0, shorter.nodes.length, ...network.nodes);
  shorter.inputs.push(...network.inputs);
  shorter.outputs.push(...network.outputs.filter(({ name }) => !left.has(name)));
  shorter.adders.push(...network.adders);
  shorter.partialProducts.push(...network.partialProducts);
  const what = extension === ZERO ? 'are always 0' : 'repeat its sign';
  return { network: shorter, note: [`bits of the product that ${what} were left out: ${[...left].join(', ')}`] };
}

/**
 * Whether these signals are the same function as another: as gates, or over all inputs where these are not too many.
 */
function allEqual(network: Network, signals: readonly Signal[], other: Signal): boolean {
  const different = signals.filter((signal) => signal !== other);
  if (different.length === 0) return true;
  if (network.inputs.length > MAX_EXHAUSTIVE_BITS) return false;
  const inputs = network.inputs.map(({ signal }) => signal);
  const others = different.map(() => other);
  return firstDifferingPattern({ network, inputs, outputs: different }, { network, inputs, outputs: others }) === null;
}

/** The bytes of a table; null for what is none. */
function tableFile({ spec, read }: Place): PackedFile | null {
  // A netlist by its name is not unpacked to the limit of tables first.
  if (!read || /\.(v|sv|blif)(\.gz)?$/i.test(spec)) return null;
  const packed = unpacked(spec, MAX_TABLE_BYTES, read);
  return tableForm(packed.bytes, packed.file) === null ? null : packed;
}

/** The name of a multiplier for its files and for the rows of tables: the file's without folder and extension. */
export function subjectName(spec: string): string {
  return basename(spec)
    .replace(/\.gz$/i, '')
    .replace(/\.(blif|s?v|npy|npz|lut\.txt|txt|csv|tsv|json|h|c|bin|raw)$/i, '')
    .replace(/[^\p{L}\p{N}._+-]+/gu, '-');
}

/** The products of all operand pairs; a UserError where there are too many. */
export function productsOf({ table, network, signed }: LoadedMultiplier): ProductTable {
  return table ?? simulate(network!, { signed });
}

interface PackedFile {
  /** The name without folder and `.gz`. */
  readonly file: string;
  /** Unpacked. */
  readonly bytes: Buffer;
  readonly digest: string;
}

/** A file of at most so many bytes, unpacked if its name ends in `.gz`; inflating stops at the limit. */
function unpacked(path: string, most: number, read: (most: number) => Uint8Array): PackedFile {
  const plain = path.replace(/\.gz$/i, '');
  const stored = read(most);
  const bytes = plain === path ? Buffer.from(stored) : inflateLimited(stored, most, path);
  return { file: basename(plain), bytes, digest: sha256(stored) };
}
