// Results as text. The end of a run: the stages with accuracy, loss and power, the multipliers with their error metrics and proof, and the
// files. And several runs side by side.

import Table from 'cli-table3';
import type { ComparedRun } from '../flow/compare.ts';
import { type MultiplierSummary, powerNote, type RunSummary, type Stage, stageTitles } from '../flow/summary.ts';
import { grouped, percent, type Style } from './style.ts';

/** Lines without a final newline. */
export function summaryText(summary: RunSummary, style: Style): string {
  const { data, model, seed, weightBits, activationBits, exactLayers, exactShare, files } = summary;
  const sections = [`${style.bold(`${model} on ${data}`)}, w${weightBits}a${activationBits}, seed ${seed}`];
  if (summary.stages.length > 0) sections.push(stagesTable(summary, style));
  if (exactLayers.length > 0) {
    sections.push(
      `exact multiplier kept for ${exactLayers.join(', ')}: ${percent(exactShare)} of the multiplications, not in the power figures`,
    );
  }
  if (summary.multipliers.length > 0) sections.push(errorTable(summary.multipliers, style));
  if (files.length > 0) sections.push(filesText(files, style));
  return sections.join('\n\n');
}

function stagesTable({ stages }: RunSummary, style: Style): string {
  const table = plainTable(['stage', 'accuracy', 'loss', 'power'], style, ['left', 'right', 'right', 'right']);
  for (const { stage, accuracy, loss, power } of stages) {
    table.push([stageTitles[stage], percent(accuracy), loss.toFixed(4), power === undefined ? '–' : power.toFixed(4)]);
  }
  return `${tableText(table)}\n${style.dim(powerNote)}`;
}

type MultiplierRow = Pick<MultiplierSummary, 'name' | 'theta' | 'metrics' | 'normalizedCost' | 'provedPairs'>;

/** Error metrics, gate cost and proof of multipliers. */
export function errorTable(multipliers: readonly MultiplierRow[], style: Style): string {
  const heads = ['multiplier', 'ER', 'NMED', 'MED', 'MSE', 'MaxED', 'mean', 'gates'];
  const table = plainTable(heads, style, ['left', ...heads.slice(1).map(() => 'right' as const)]);
  for (const { name, metrics, normalizedCost } of multipliers) {
    table.push([
      name,
      percent(metrics.errorRate, 1),
      percent(metrics.normalizedMeanErrorDistance, 3),
      significant(metrics.meanErrorDistance),
      significant(metrics.meanSquareError),
      String(metrics.maxErrorDistance),
      significant(metrics.meanError),
      normalizedCost === null ? '–' : normalizedCost.toFixed(4),
    ]);
  }
  const lines = [tableText(table)];
  const [only] = multipliers;
  if (only && multipliers.length === 1) {
    lines.push(`θ = ${only.theta.map((value) => Number(value.toFixed(3))).join(' ')} (lowest column first)`);
  }
  lines.push(style.dim('errors over all operand pairs; gates: unit-gate cost relative to the exact array multiplier'));
  const pairs = [...new Set(multipliers.map(({ provedPairs }) => provedPairs))];
  const each = multipliers.length > 1 ? ' each' : '';
  const count = pairs.map(grouped).join(' / ');
  lines.push(`${style.green('proved:')} netlist ≡ BLIF ≡ Verilog ≡ table over ${count} operand pairs${each}`);
  return lines.join('\n');
}

function filesText(files: RunSummary['files'], style: Style): string {
  const width = Math.max(...files.map(({ title }) => title.length));
  return [style.bold('files'), ...files.map(({ title, path }) => `  ${title.padEnd(width)}  ${path}`)].join('\n');
}

const comparedStages: readonly Stage[] = ['float', 'quantized', 'explored', 'mapped', 'recovered'];

/** One line per run: accuracy at every stage, and the power it ended with. Lines without a final newline. */
export function comparisonText(runs: readonly ComparedRun[], style: Style): string {
  const heads = ['run', 'data', 'model', 'bits', ...comparedStages, 'power'];
  const table = plainTable(
    heads,
    style,
    heads.map((_, at) => (at < 4 ? 'left' : 'right')),
  );
  for (const { label, data, model, weightBits, activationBits, stages, result } of runs) {
    const accuracies = comparedStages.map((name) => stages.find(({ stage }) => stage === name)?.accuracy);
    table.push([
      label,
      data,
      model,
      `w${weightBits}a${activationBits}`,
      ...accuracies.map((accuracy) => (accuracy === undefined ? '–' : percent(accuracy))),
      result.power.toFixed(4),
    ]);
  }
  const unfinished = runs.filter(({ result }) => result.stage !== 'recovered');
  const notes = unfinished.map(({ label, result }) => `${label}: its power is that of the stage ${result.stage}`);
  return [tableText(table), ...notes, style.dim(powerNote)].join('\n');
}

function significant(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** A table with nothing but a rule under its heads. */
function plainTable(heads: readonly string[], style: Style, aligns: readonly ('left' | 'right')[]): Table.Table {
  const none = {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
  };
  return new Table({
    head: heads.map((head) => style.bold(head)),
    colAligns: [...aligns],
    chars: {
      ...none,
      'bottom-right': '',
      left: '',
      right: '',
      middle: ' ',
      'left-mid': '',
      'right-mid': '',
      mid: '─',
      'mid-mid': '─',
    },
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 1 },
  });
}

/** Without blanks at the ends of lines. */
function tableText(table: Table.Table): string {
  return table.toString().replace(/ +$/gm, '');
}
