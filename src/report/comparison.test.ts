import { expect, test } from 'vitest';
import { type ComparedFigures, type ComparedMultiplier, comparisonTable } from './comparison.ts';

const figures: ComparedFigures = {
  weightBits: 8,
  activationBits: 8,
  signed: false,
  gates: 0.80125,
  metrics: {
    errorRate: 0.230286,
    meanErrorDistance: 14.61328,
    normalizedMeanErrorDistance: 0.000222981,
    meanSquareError: 5133.25,
    maxErrorDistance: 516,
    meanRelativeErrorDistance: 0.0123456,
    meanRelativeErrorOfNonzero: 0.0023,
    meanError: -14.5,
  },
};
const rows: ComparedMultiplier[] = [
  { name: 'OPACT_1', figures, synthesis: { area: 18.6, delay: 499.6, power: 0.0019 } },
  { name: 'wide', figures: { ...figures, weightBits: 16, samples: 1048576, gates: null, signed: true } },
  { name: 'a|b, "c" $\\x{}$\n=1', problem: 'b.v: cannot be\nread' },
];

test('Markdown marks estimates, has dashes for what is not known, reasons and escaped names', () => {
  expect(comparisonTable(rows, 'markdown', 'library').split('\n')).toEqual([
    '| multiplier | bits | area µm² | delay ps | power mW | gates | ER % | MED | NMED % | MSE | MaxED | MRED % | MRED≠0 % | mean | problem |',
    `|---|${'---:|'.repeat(14)}`,
    '| OPACT\\_1 | 8x8 | 18.6 | 499.6 | 0.0019 | 0.8013 | 23.0 | 14.61 | 0.022 | 5133 | 516 | 1.235 | 0.230 | -14.5 | — |',
    '| wide | 16x8 signed | — | — | — | — | ~23.0 | ~14.61 | ~0.022 | ~5133 | ≥ 516 | ~1.235 | ~0.230 | ~-14.5 | — |',
    `| a\\|b, "c" $\\\\x{}$ =1${' | —'.repeat(13)} | b.v: cannot be read |`,
    '',
  ]);
});

test('without synthesis there are no columns of it, without failures none of problems', () => {
  const [head, , first] = comparisonTable(rows.slice(0, 1), 'markdown').split('\n');
  expect(head).toBe('| multiplier | bits | gates | ER % | MED | NMED % | MSE | MaxED | MRED % | MRED≠0 % | mean |');
  expect(first).not.toContain('—');
  expect(comparisonTable(rows.slice(0, 1), 'markdown', 'gates')).toContain('| area AND2 | delay FO4 | power AND2 |');
});

test('CSV has numbers only, quotes what needs it and keeps formulas out of spreadsheets', () => {
  expect(comparisonTable([...rows, { ...rows[2]!, name: '=1+1' }], 'csv').split('\n')).toEqual([
    'multiplier,bits,gates,er_percent,med,nmed_percent,mse,max_ed,mred_percent,mred_nonzero_percent,mean,samples,problem',
    'OPACT_1,8x8,0.8013,23.0,14.61,0.022,5133,516,1.235,0.230,-14.5,,',
    'wide,16x8 signed,,23.0,14.61,0.022,5133,516,1.235,0.230,-14.5,1048576,',
    `"a|b, ""c"" $\\x{}$ =1"${','.repeat(12)}"b.v: cannot be read"`,
    `'=1+1${','.repeat(12)}"b.v: cannot be read"`,
    '',
  ]);
});

test('LaTeX is a booktabs table with escaped names', () => {
  const text = comparisonTable(rows, 'latex', 'library');
  expect(text).toContain('\nOPACT\\_1 & 8x8 & 18.6 & 499.6 & 0.0019 & 0.8013 & 23.0 &');
  expect(text).toContain('& $\\geq$ 516 &');
  expect(text).toContain('a|b, "c" \\$\\textbackslash{}x\\{\\}\\$ =1 & -- & --');
  expect(text.split('\n').filter((line) => line.endsWith('\\\\'))).toHaveLength(4);
});

test('text is aligned', () => {
  const lines = comparisonTable(rows.slice(0, 2), 'text').trimEnd().split('\n');
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  expect(comparisonTable(rows, 'text').split('\n')[1]).toMatch(/ -14\.5 {2}–$/);
  expect(lines[2]).toMatch(/^wide {8}16x8 signed +– +~23\.0 /);
});
