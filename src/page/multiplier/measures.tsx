// The measures of one multiplier, or of two with their difference: errors over all pairs, over the operands that it
// meets in a network, and what its gates cost. Under the names of the field, with what each is.

import { NMED_TITLE } from '../../multiplier/metrics.ts';
import type { ExploredMultiplier } from '../../serve/api.ts';
import { fixed, grouped, significant } from '../../tensor/numbers.ts';
import { Scroll } from '../scroll.tsx';

interface Row {
  readonly name: string;
  readonly title: string;
  readonly of: (multiplier: ExploredMultiplier) => number | null;
  readonly text: (value: number) => string;
}

const plain = (value: number) => significant(value, 5);
const share = (value: number) => `${significant(100 * value, 4)} %`;

const errors: readonly Row[] = [
  { name: 'ER', title: 'error rate: share of wrong products', of: (one) => one.measures.errorRate, text: share },
  { name: 'MED', title: 'mean distance to the exact product', of: (one) => one.measures.med, text: plain },
  { name: 'NMED', title: NMED_TITLE, of: (one) => one.measures.nmed, text: share },
  { name: 'MRED', title: 'mean of distance over product', of: (one) => one.measures.mred, text: share },
  { name: 'MSE', title: 'mean square of the error', of: (one) => one.measures.mse, text: plain },
  { name: 'MaxED', title: 'largest distance', of: (one) => one.measures.maxEd, text: grouped },
  { name: 'bias', title: 'mean error', of: (one) => one.measures.mean, text: plain },
  { name: 'deviation', title: 'of the error', of: (one) => Math.sqrt(one.measures.variance), text: plain },
];

const met: readonly Row[] = [
  { name: 'ER', title: 'of the operands that it meets', of: (one) => one.met?.errorRate ?? null, text: share },
  { name: 'MED', title: 'of the operands that it meets', of: (one) => one.met?.med ?? null, text: plain },
  { name: 'MRED', title: 'of the operands that it meets', of: (one) => one.met?.mred ?? null, text: share },
  { name: 'bias', title: 'of the operands that it meets', of: (one) => one.met?.mean ?? null, text: plain },
];

const costs: readonly Row[] = [
  { name: 'gate cost', title: 'cheapest exact 8×8 = 1', of: (one) => one.costs?.gateCost ?? null, text: three },
  { name: 'of its widths', title: 'exact array = 1', of: (one) => one.costs?.normalizedCost ?? null, text: three },
  { name: 'unit gates', title: 'AND, OR 1; XOR 2', of: (one) => one.costs?.unitGates ?? null, text: grouped },
  { name: 'gates', title: 'as it was read', of: (one) => one.costs?.read ?? null, text: grouped },
  { name: 'depth', title: 'gates on the longest way', of: (one) => one.costs?.depth ?? null, text: grouped },
];

function three(value: number): string {
  return fixed(value, 3);
}

export function Measures({ multipliers }: { readonly multipliers: readonly ExploredMultiplier[] }) {
  const groups = [
    { title: 'Errors', rows: errors },
    { title: 'Errors in its network', rows: met },
    { title: 'Cost', rows: costs },
  ].filter(({ rows }) => rows.some(({ of }) => multipliers.some((one) => of(one) !== null)));
  const isPair = multipliers.length === 2;
  return (
    <Scroll label="Measures, can be scrolled">
      <table class="measures">
        <thead>
          <tr>
            <th scope="col">Measure</th>
            {multipliers.map(({ name }, at) => (
              <th scope="col" class="number" key={`${at} ${name}`}>
                {isPair ? name : 'value'}
              </th>
            ))}
            {isPair && (
              <th scope="col" class="number">
                Difference
              </th>
            )}
          </tr>
        </thead>
        {groups.map(({ title, rows }) => (
          <tbody key={title}>
            {rows.map((row) => (
              <MeasureRow key={row.name + row.title} row={row} multipliers={multipliers} />
            ))}
          </tbody>
        ))}
      </table>
    </Scroll>
  );
}

function MeasureRow({ row, multipliers }: { readonly row: Row; readonly multipliers: readonly ExploredMultiplier[] }) {
  const values = multipliers.map(row.of);
  const [a, b] = values;
  const isKnown = a !== null && a !== undefined && b !== null && b !== undefined;
  const sign = isKnown && b - a > 0 ? '+' : '';
  return (
    <tr>
      <th scope="row">
        {row.name} <span class="muted">{row.title}</span>
      </th>
      {values.map((value, at) => (
        <td class="number" key={`${at} ${multipliers[at]!.name}`}>
          {value === null ? '–' : row.text(value)}
        </td>
      ))}
      {values.length === 2 && <td class="number">{isKnown ? sign + row.text(b - a) : '–'}</td>}
    </tr>
  );
}
