// Picture of the operands that a multiplier meets: the share of each code among its multiplications, weights above,
// activations below.

import type { OperandHistograms } from '../multiplier/metrics.ts';
import { colours, figureWidth } from './theme.ts';
import { renderSpec } from './vega.ts';

/**
 * Shares in %; the axis ends at the second largest of an operand with one code far above the rest, which its title then
 * tells.
 */
export function operandsSvg(
  { weight, activation }: OperandHistograms,
  title: string | null = 'Operands',
): Promise<string> {
  return renderSpec({
    ...(title === null ? {} : { title: { text: title, subtitle: 'share of each code among the multiplications' } }),
    vconcat: [
      panel('weight', Array.from(weight), colours.blue),
      panel('activation', Array.from(activation), colours.orange),
    ],
    spacing: 18,
  });
}

/** A code this many times as frequent as any other is cut off. */
const OUTSTANDING = 3;

function panel(name: string, counts: readonly number[], colour: string) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const shares = counts.map((count) => (100 * count) / total);
  const [first = 0, second = 0] = [...shares].sort((a, b) => b - a);
  const cut = first > OUTSTANDING * second && second > 0;
  const top = cut ? 1.15 * second : first;
  const note = cut ? ` (code ${shares.indexOf(first)}: ${first.toFixed(1)} %, cut off)` : '';
  const last = counts.length - 1;
  const ticks = [...new Set([...Array.from({ length: 8 }, (_, k) => Math.floor((k * counts.length) / 8)), last])];
  return {
    width: figureWidth - 90,
    height: 110,
    data: { values: shares.map((share, code) => ({ from: code - 0.5, to: code + 0.5, share: Math.min(share, top) })) },
    mark: { type: 'bar', color: colour, binSpacing: 0 },
    encoding: {
      x: {
        field: 'from',
        type: 'quantitative',
        bin: { binned: true, step: 1 },
        scale: { domain: [-0.5, last + 0.5], nice: false },
        axis: { title: `Code of the ${name}${note}`, values: ticks, format: 'd' },
      },
      x2: { field: 'to' },
      y: {
        field: 'share',
        type: 'quantitative',
        scale: { domain: [0, top], nice: false },
        axis: { title: 'Share (%)', tickCount: 4 },
      },
    },
  };
}
