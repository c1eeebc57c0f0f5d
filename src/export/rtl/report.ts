// The report of the Verilog: what each layer's top does in how many cycles, and what elements and arrays cost beside
// those with an exact multiplier; as text for people, its data as JSON.
// Invariant: every figure of the text is one of the data's; assumptions stand with the figures.

import { registerRule } from '../../hardware/registers.ts';
import { invariant } from '../../tensor/errors.ts';
import type { ArrayCost, Cost, Figures, MultiplierFigures } from './figures.ts';
import { type ArraySize, CONSTANT_KINDS, type LayerTop } from './interface.ts';

export interface RtlReport {
  readonly model: string;
  readonly stage: string;
  readonly tops: readonly LayerTop[];
  /** Layers whose product has no top of its own: no requantisation follows it. */
  readonly without: readonly string[];
  /** Of each multiplier that errs. */
  readonly figures: readonly Figures[];
}

/** Cycles of a layer for an image where no stream stalls. */
export function layerCycles(top: LayerTop): number {
  const { rows, columns } = top.size;
  const drain = rows + columns + 1;
  const blocks = Math.ceil(top.positions / top.block);
  let cycles = 0;
  for (let tile = 0; tile < top.outputTiles; tile++) {
    const used = Math.min(columns, top.outputs - tile * columns);
    cycles += (CONSTANT_KINDS + top.classes) * columns;
    cycles += blocks * top.tapTiles * (rows + drain) + (top.tapTiles - 1) * top.positions;
    // The last tile of taps goes at the pace of the results, one per cycle.
    cycles += blocks + (top.positions - blocks) * used + used + 1;
  }
  return cycles * top.groups;
}

/** The share of the array's multiplications that count, of all that its elements could make in those cycles. */
export function utilisation(top: LayerTop): number {
  const products = top.groups * top.taps * top.outputs * top.positions;
  return products / (layerCycles(top) * top.size.rows * top.size.columns);
}

export function reportMarkdown({ model, stage, tops, without, figures }: RtlReport): string {
  const size = tops[0]?.size;
  const lines = [
    `# Verilog of ${model}, ${stage}`,
    '',
    size ? `Arrays of ${size.rows}×${size.columns} elements (rows take taps, columns outputs).` : 'No layer has a top.',
    'Each top is `layer_NAME.v`; `layer_NAME.f` lists the files that it needs: `iverilog -g2001 -f layer_NAME.f`,',
    '`verilator --lint-only -Wall -f layer_NAME.f`. How they are driven: streams.md; array.svg shows one.',
    '',
    '| layer | multiplier | groups | taps | outputs | positions | cycles per image | utilisation |',
    '|---|---|---|---|---|---|---|---|',
    ...tops.map((top) => {
      const { layer, multiplier, groups, taps, outputs, positions } = top;
      const cells = [layer, multiplier, groups, taps, outputs, positions, layerCycles(top), percent(utilisation(top))];
      return `| ${cells.join(' | ')} |`;
    }),
    '',
    'Taps and outputs are those of a group. Cycles count where no stream stalls; utilisation is the share of the elements’',
    'multiplications that count. It is low where a layer has few positions (weights are loaded for few uses: linear layers),',
    'few taps (one result leaves per cycle) or one output per group (depthwise layers: one column of the array works).',
    ...(without.length > 0 ? ['', `Without a top, since no requantisation follows: ${without.join(', ')}.`] : []),
    ...figures.flatMap((one) => figuresMarkdown(one, size!)),
  ];
  return `${lines.join('\n')}\n`;
}

/** `size`: of the arrays of the tops, in which the elements were watched. */
function figuresMarkdown(all: Figures, size: ArraySize): string[] {
  const { own, exact, units, activity } = all;
  const chosen = own.arrays.findIndex((one) => one.size.rows === size.rows && one.size.columns === size.columns);
  invariant(chosen !== -1, 'figures of other arrays than those of the tops');
  const rows: [string, Cost, Cost][] = [
    ['multiplier alone', own.multiplier, exact.multiplier],
    ['multiplier, mask and adder', own.logic, exact.logic],
    [`element, with ${own.element.registers} flip-flops`, own.element, exact.element],
    ...own.arrays.map((array, n): [string, Cost, Cost] => [arrayName(array), array, exact.arrays[n]!]),
  ];
  return [
    '',
    `## ${own.name} beside the exact multiplier (${exact.name})`,
    '',
    `In short: the multiplier alone saves ${saved(own.multiplier, exact.multiplier)},`,
    `an array of ${size.rows}×${size.columns}, registers included, saves ${saved(own.arrays[chosen]!, exact.arrays[chosen]!)}.`,
    '',
    `Library ${all.library}; area in ${units.area}, cycles in ${units.delay}, power in ${units.power === 'mW' ? `mW at ${all.clockMHz} MHz` : units.power}.`,
    '',
    `| | area | exact | saved | cycle | exact | saved | power | exact | saved |`,
    '|---|---|---|---|---|---|---|---|---|---|',
    ...rows.map(
      ([what, a, b]) =>
        `| ${[what, ...(['area', 'cycle', 'power'] as const).flatMap((of) => [figure(a[of]), figure(b[of]), percent(1 - a[of] / b[of])])].join(' | ')} |`,
    ),
    '',
    ...(units.delay === 'ps'
      ? [`Highest clock of these netlists: ${megahertz(own)}, with the exact multiplier ${megahertz(exact)}.`, '']
      : []),
    `Sums have ${all.sumBits} bits, as proved for the layers. Logic is synthesised for a cycle of ${figure(all.cycleTarget)} ${units.delay}, what the`,
    'flip-flops need included, and of what meets it the netlist of least power is kept; a multiplier alone has its own delay as cycle.',
    'Of the exact multipliers of the same widths that were tried the one whose element needs least power is beside it. Exact',
    'ones of fewer bits save registers and bits of the adders as well, which an approximate one does not: before you decide,',
    'see how the network does with them (tram run --bits 5, or tram sweep DIR --cheapest).',
    '',
    `Activity: what elements of an array of ${size.rows}×${size.columns} meet while the network runs on the first test image, weights standing still, position after position`,
    `(per bit and cycle ${share(activity.across)} changes of activations, ${share(activity.sum)} of sums, ${share(activity.weight)} of weights); arrays always busy; glitches are not counted.`,
    registerRule,
    'An array is its elements and the flip-flops that skew it. Wires, accumulators, memories and requantisation are not in it.',
  ];
}

const arrayName = ({ size, registers }: ArrayCost) => `array ${size.rows}×${size.columns}, ${registers} flip-flops`;
const saved = (own: Cost, exact: Cost) =>
  `${percent(1 - own.area / exact.area)} of the area and ${percent(1 - own.power / exact.power)} of the power`;
const percent = (part: number) => `${(100 * part).toFixed(1)} %`;
const share = (part: number) => part.toFixed(3);
const figure = (value: number) => (value === 0 ? '0' : String(Number(value.toPrecision(4))));
const megahertz = ({ element }: MultiplierFigures) => `${figure(1e6 / element.cycle)} MHz`;
