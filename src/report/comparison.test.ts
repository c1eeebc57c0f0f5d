import { expect, test } from 'vitest';
import { type ComparedMultiplier, comparisonTable } from './comparison.ts';

const rows: ComparedMultiplier[] = [
  {
    name: 'OPACT_1',
    area: 18.6,
    delay: 499.6,
    power: 0.0019,
    metrics: { errorRate: 0.230286, normalizedMeanErrorDistance: 0.000222981, maxErrorDistance: 516 },
  },
  {
    name: 'a|b, "c" $\\x{}$\n=1',
    metrics: { errorRate: 0, normalizedMeanErrorDistance: 0, maxErrorDistance: 0 },
  },
];

test('Markdown has the published figures, dashes for what is not known, and escaped names', () => {
  expect(
    comparisonTable(rows, 'markdown'),
  ).toBe(`| multiplier | area µm² | delay ps | power mW | ER % | NMED % | MaxED |
|---|---:|---:|---:|---:|---:|---:|
| OPACT\\_1 | 18.6 | 499.6 | 0.0019 | 23.0 | 0.022 | 516 |
| a\\|b, "c" $\\\\x{}$ =1 | — | — | — | 0.0 | 0.000 | 0 |
`);
});

test('CSV quotes what needs it and keeps formulas out of spreadsheets', () => {
  expect(comparisonTable([...rows, { ...rows[1]!, name: '=1+1' }], 'csv').split('\n')).toEqual([
    'multiplier,area_um2,delay_ps,power_mw,er_percent,nmed_percent,max_ed',
    'OPACT_1,18.6,499.6,0.0019,23.0,0.022,516',
    '"a|b, ""c"" $\\x{}$ =1",,,,0.0,0.000,0',
    "'=1+1,,,,0.0,0.000,0",
    '',
  ]);
});

test('LaTeX is a booktabs table with escaped names', () => {
  const text = comparisonTable(rows, 'latex');
  expect(text).toContain('\nOPACT\\_1 & 18.6 & 499.6 & 0.0019 & 23.0 & 0.022 & 516 \\\\\n');
  expect(text).toContain('a|b, "c" \\$\\textbackslash{}x\\{\\}\\$ =1 & -- & --');
  expect(text.split('\n').filter((line) => line.endsWith('\\\\'))).toHaveLength(3);
});
