// What may be chosen of a multiplier, by name: the orders, beginnings and limits that options and forms offer. Only
// names and numbers, so that a program can ask before it loads anything.

export { type OperandOrder, operandOrders } from '../multiplier/table.ts';
export { type WeightCodeChoice, weightCodeChoices } from '../multiplier/weight-codes.ts';
export { MAX_EXHAUSTIVE_BITS, MIN_OPERAND_BITS } from '../multiplier/widths.ts';
export { type TableOrder, tableOrders } from '../netlist/formats/interpret.ts';
export { type MappingStart, mappingStarts, type SearchName, searchNames } from '../netlist/mapping/task.ts';

/** How much is tried in synthesis. */
export const synthesisEfforts = ['quick', 'best'] as const;

/** What is least in the netlist that synthesis keeps. */
export const synthesisObjectives = ['area', 'power'] as const;

/** Where Yosys runs: the bundled one is a sandbox. */
export const yosysPlaces = ['bundled', 'system'] as const;

/** How the name of a table's file may end: published text, .npy (int32), raw little-endian int32, a C array. */
export const tableEndings = ['.txt', '.npy', '.bin', '.h'] as const;
