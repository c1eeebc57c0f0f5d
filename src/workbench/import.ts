// A multiplier made elsewhere, as a network uses it: the weight is the first operand. Which operand of the source is
// the weight is the user's to say; a file that says it itself is believed, widths that fit in one order only decide,
// and else the form's custom holds: the program that published the text form takes its first operand as the activation,
// everything else here the first as the weight.
// Invariant: network and table of the result are in the same order, and that order is recorded.

import { signednessNote } from '../multiplier/signedness.ts';
import {
  exchangeOperands,
  isSymmetric,
  type OperandOrder,
  operandOrders,
  type ProductTable,
} from '../multiplier/table.ts';
import { rowOrder } from '../netlist/formats/text.ts';
import type { Network } from '../netlist/network.ts';
import { exchangeNetworkOperands } from '../netlist/ports.ts';
import { UserError } from '../tensor/errors.ts';
import { type LoadOptions, loadMultiplier, productsOf } from './load.ts';

/** A multiplier as its source has it: whichever operand comes first there is the first. */
export interface SourceMultiplier {
  /** A file, or a generator such as `dadda:8x8`. */
  readonly source: string;
  /** Null where only a table is known. */
  readonly network: Network | null;
  readonly table: ProductTable;
  /** What the source says of its operands, or what is the custom of its form. */
  readonly usual: OperandOrder;
  /** What was taken for granted in reading it. */
  readonly notes: readonly string[];
}

/** The multiplier with the weight as its first operand. */
export interface ImportedMultiplier {
  readonly source: string;
  readonly network: Network | null;
  readonly table: ProductTable;
  /** The order of the operands in the source. */
  readonly operandOrder: OperandOrder;
  readonly notes: readonly string[];
}

export interface ImportOptions extends LoadOptions {
  /** Default: what the source says, or the custom of its form. */
  readonly operandOrder?: OperandOrder;
}

export interface OperandBits {
  readonly weights: number;
  readonly activations: number;
}

/** Loads what `source` names, without asking what its operands are. Throws a UserError. */
export async function readSource(source: string, options: LoadOptions = {}): Promise<SourceMultiplier> {
  const loaded = await loadMultiplier(source, options);
  const { network = null, notes } = loaded;
  const table = productsOf(loaded);
  const rows = rowOrder(table);
  // A table that was turned for what its file says is turned back: here the order of the file counts.
  const asRows = rows?.said && rows.order === 'activation-weight' ? exchangeOperands(table) : table;
  // Of a table its reader has said it.
  const sign = network ? signednessNote(table) : null;
  const told = sign === null ? notes : [...notes, `${source}: ${sign}`];
  return { source, network, table: asRows, usual: rows?.order ?? 'weight-activation', notes: told };
}

/** The orders in which the operands fit, the usual one first; a multiplier to which the order is the same has one. */
export function possibleOrders({ table, usual }: SourceMultiplier, bits: OperandBits): readonly OperandOrder[] {
  const both = [usual, ...operandOrders.filter((order) => order !== usual)];
  const fitting = both.filter((order) => fits(table, order, bits));
  return fitting.length === 2 && isSymmetric(table) ? [usual] : fitting;
}

function fits({ weightBits, activationBits }: ProductTable, order: OperandOrder, bits: OperandBits): boolean {
  const [first, second] =
    order === 'weight-activation' ? [bits.weights, bits.activations] : [bits.activations, bits.weights];
  return weightBits === first && activationBits === second;
}

/** The multiplier in the order asked for, or the usual one; operands that do not fit the network's are a UserError. */
export function inOrder(read: SourceMultiplier, bits: OperandBits, wanted?: OperandOrder): ImportedMultiplier {
  const { source, network, table, usual } = read;
  const sizes = `${table.weightBits}×${table.activationBits}`;
  const needed = `the network's operands have ${bits.weights}×${bits.activations} bits (weight × activation)`;
  const fitting = operandOrders.filter((order) => fits(table, order, bits));
  if (fitting.length === 0) {
    throw new UserError(
      `${source} multiplies ${sizes} bits, but ${needed}; choose another multiplier, or a run of --bits ${table.weightBits}x${table.activationBits}`,
    );
  }
  if (wanted !== undefined && !fitting.includes(wanted)) {
    throw new UserError(
      `${source} multiplies ${sizes} bits, which in the order ${wanted} does not fit: ${needed}; choose --operand-order ${fitting[0]}`,
    );
  }
  const operandOrder = wanted ?? (fitting.includes(usual) ? usual : fitting[0]!);
  const notes = [...read.notes];
  if (wanted === undefined && operandOrder !== usual) {
    notes.push(`${source} is taken in the order ${operandOrder}, the only one in which its ${sizes} bits fit`);
  }
  const turned = operandOrder === 'activation-weight';
  return {
    source,
    network: network && turned ? exchangeNetworkOperands(network) : network,
    table: turned ? exchangeOperands(table) : table,
    operandOrder,
    notes,
  };
}

/** Reads the multiplier that `source` names for operands of these widths. */
export async function importMultiplier(
  source: string,
  bits: OperandBits,
  { operandOrder, ...options }: ImportOptions = {},
): Promise<ImportedMultiplier> {
  return inOrder(await readSource(source, options), bits, operandOrder);
}
