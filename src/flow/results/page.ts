// What the report page of a run says, section by section: results first, then the pictures, then everything that is
// needed to judge or repeat the run. The same run gives the same page, to the byte: nothing here depends on where the
// folder is or when the page is made.

import { relative } from 'node:path';
import { NMED_TITLE } from '../../multiplier/metrics.ts';
import { CELL_COST } from '../../multiplier/power.ts';
import type { PowerModelName } from '../../multiplier/power-model.ts';
import { REFERENCE_GATES } from '../../netlist/structure.ts';
import { cellsTitle, front } from '../../report/front.ts';
import type { Block, Figure, Section } from '../../report/page.ts';
import { runPageHtml } from '../../report/page.ts';
import { given } from '../../tensor/given.ts';
import { clipped, shellWord } from '../../tensor/names.ts';
import { duration, fixed, grouped, percent, significant } from '../../tensor/numbers.ts';
import type { NamedFigure } from '../../workbench/figures.ts';
import { stageTitles } from '../run/stages.ts';
import { kindNames, rivalName } from './rivals.ts';
import { describeExactLayers, type MultiplierSummary, metricRows, type RunSummary, widthsText } from './summary.ts';
import { type ThetaOf, thetaCell, thetaCellNote, thetaMatrix } from './theta-text.ts';

export interface PageFigures {
  /** Of the whole run. */
  readonly run: readonly NamedFigure[];
  /** Of each multiplier, in the order of the summary's. */
  readonly multipliers: readonly { readonly name: string; readonly figures: readonly NamedFigure[] }[];
  /** Paths of all that were written, from the page. */
  readonly paths: readonly string[];
}

const numeric = (title: string) => ({ title, numeric: true });
const table = (
  columns: readonly (string | { title: string; numeric: boolean })[],
  rows: readonly string[][],
): Block => ({
  kind: 'table',
  columns: columns.map((column) => (typeof column === 'string' ? { title: column } : column)),
  rows,
});
const facts = (rows: readonly (readonly [label: string, value: string | undefined])[]): Block => ({
  kind: 'table',
  columns: [],
  rows: rows.flatMap(([label, value]) => (value === undefined ? [] : [[label, value]])),
});
const note = (text: string): Block => ({ kind: 'note', text });
const figure = ({ title, caption, svg, narrow }: Figure): Block => ({
  kind: 'figure',
  title,
  svg,
  ...given({ caption, narrow }),
});

const fittedText = (cells: string) =>
  `the AND gates and adders of the tree over the partial products that are left, at costs fitted to synthesis with ${cells}`;

/** What each model counts. */
const modelTexts: Readonly<Record<PowerModelName, string>> = {
  analytic:
    `AND gates (${CELL_COST.and}), half adders (${CELL_COST.halfAdder}) and full adders (${CELL_COST.fullAdder}) of the array multiplier's columns, ` +
    'each column counted with the share 1 − θ that is left of it',
  fitted: fittedText('the built-in cells'),
  asap7: fittedText('ASAP7'),
};

/** How the two measures relate, said once. */
const measuresText = (model: PowerModelName) =>
  'Power and gate cost are two measures, each relative to its own exact 8×8 multiplier; a figure of one is not to be compared with a figure of the ' +
  `other. Power is the model that the training differentiates: ${modelTexts[model]}. Gate cost counts the netlist ` +
  'that came of it: AND and OR 1, XOR 2, a full adder 7, inverters free, divided by the ' +
  `${REFERENCE_GATES} unit gates of the cheapest exact 8×8 multiplier known here (radix-4 Booth). The mapping makes whole gates of θ, leaves out what they ` +
  'leave idle and arranges the adders anew, so the second is usually the smaller. Both are means over the multiplications of the approximate layers.';

/** `at`: the folder in which the page stands, from which its links lead to the run's files; default: the run's. */
export function runPage(summary: RunSummary, figures: PageFigures, at = summary.folder): string {
  const several = summary.multipliers.length > 1;
  const sections: Section[] = [
    { title: 'Stages', blocks: stageBlocks(summary) },
    several
      ? { title: 'Multipliers', blocks: layerBlocks(summary) }
      : {
          title: 'Multiplier',
          blocks: summary.multipliers.map((own) => metricsBlock(own, summary, summary.inputs.multiplier?.source)),
        },
    { title: 'Rivals', blocks: [...rivalBlocks(summary), ...figures.run.filter(isFront).map(figure)] },
    { title: 'Training', blocks: figures.run.filter((one) => !isFront(one)).map(figure) },
    {
      title: several ? 'Each multiplier' : 'Multiplier in pictures',
      blocks: pictureBlocks(figures, summary),
    },
    { title: 'Settings', blocks: settingBlocks(summary) },
    { title: 'Data and inputs', blocks: [inputFacts(summary)] },
    { title: 'Work', blocks: workBlocks(summary) },
    { title: 'Files', blocks: fileBlocks(summary, figures.paths, at) },
  ];
  return runPageHtml({ title: `${summary.model} on ${summary.data}`, summary: summary.verdict, sections });
}

function stageBlocks({ stages, powerModel }: RunSummary): Block[] {
  if (stages.length === 0) return [];
  const cost = (value: number | undefined) => (value === undefined ? '–' : fixed(value, 4));
  return [
    table(
      ['Stage', ...['Accuracy', 'Loss', 'Power', 'Gate cost'].map(numeric)],
      stages.map(({ stage, accuracy, loss, power, gateCost }) => [
        stageTitles[stage],
        percent(accuracy),
        fixed(loss, 4),
        cost(power),
        cost(gateCost),
      ]),
    ),
    note(measuresText(powerModel)),
  ];
}

const isFront = ({ name }: NamedFigure): boolean => name.startsWith('front-');

/** This multiplier among exact ones of fewer bits, by falling power. */
function rivalBlocks({ front: own }: RunSummary): Block[] {
  if (!own) return [];
  const points = [own.own, ...own.rivals].toSorted((a, b) => b.power - a.power);
  const best = new Set(front(points));
  const rows = points.map((point) => [
    point === own.own ? 'this run' : rivalName(point).replace(/^an |,$/g, ''),
    percent(point.accuracy),
    fixed(point.power, 4),
    best.has(point) ? '●' : '',
  ]);
  const library = own.library === undefined ? '' : ` in ${cellsTitle(own.library)}`;
  return [
    table(['Multiplier', numeric('Accuracy'), numeric(`Relative ${kindNames[own.kind]}`), 'Front'], rows),
    note(
      `${kindNames[own.kind].replace(/^./, (letter) => letter.toUpperCase())}${library}, relative to the exact 8×8 multiplier whatever the widths; ●: nothing measured here is cheaper and as accurate. ` +
        'Exact multipliers of fewer bits are in the same layers of the same float model after post-training quantisation; retrained: with the settings of this run’s recovery.',
    ),
  ];
}

const metricsBlock = (multiplier: MultiplierSummary, run: Pick<RunSummary, 'thetaOf'>, source?: string): Block =>
  facts([
    ['Given', source],
    ...metricRows(multiplier).map(({ label, value }) => [label, value] as const),
    ...thetaFacts(multiplier.theta, multiplier.thetaOf ?? run.thetaOf),
  ]);

function thetaFacts(theta: readonly number[], of: ThetaOf): (readonly [string, string])[] {
  if (theta.length === 0) return [];
  const text = (values: readonly number[]) => values.map((value) => significant(value, 3)).join(', ');
  if (of.grain === 'column') return [['θ, lowest column first', text(theta)]];
  const rows = thetaMatrix(theta, of).map(
    (row, i) => [`θ of weight bit ${i}, activation bit 0 first`, text(row)] as const,
  );
  return [['Partial products that are kept', thetaCell(theta, of)], ...rows];
}

/** A row per layer. */
function layerBlocks({ layers, multipliers, thetaOf }: RunSummary): Block[] {
  const heads = ['MACs', 'Share', 'Gate cost', 'Of all gates'].map(numeric);
  const errors = ['ER', 'NMED', 'MaxED', 'Mean error'].map(numeric);
  const rows = layers.map(({ name, macs, share, multiplier, gateShare }) => {
    const own = multipliers.find((candidate) => candidate.name === multiplier);
    return [
      name,
      grouped(macs),
      percent(share, 1),
      own ? (own.gateCost === null ? '–' : fixed(own.gateCost, 4)) : 'exact',
      gateShare === undefined ? '–' : percent(gateShare, 1),
      own ? thetaCell(own.theta, own.thetaOf ?? thetaOf) : '',
      own ? percent(own.metrics.errorRate, 1) : '–',
      own ? percent(own.metrics.normalizedMeanErrorDistance, 3) : '–',
      own ? grouped(own.metrics.maxErrorDistance) : '–',
      own ? significant(own.metrics.meanError) : '–',
    ];
  });
  return [
    table(['Layer', ...heads, 'θ', ...errors], rows),
    note(
      `MACs are multiplications per image; of all gates: multiplications times gate cost. ${thetaCellNote(thetaOf)}. ER: share of wrong products; NMED: ${NMED_TITLE}, MED being the mean distance; MaxED: largest distance; over all operand pairs.`,
    ),
  ];
}

/** Of several multipliers each is folded, with all its figures in a table first. */
function pictureBlocks({ multipliers: drawn }: PageFigures, summary: RunSummary): Block[] {
  const { multipliers } = summary;
  return drawn.flatMap(({ name, figures }): Block[] => {
    const pictures = figures.map(figure);
    if (multipliers.length < 2) return pictures;
    const own = multipliers
      .filter((multiplier) => multiplier.name === name)
      .map((multiplier) => metricsBlock(multiplier, summary));
    return [{ kind: 'folded', title: name, blocks: [...own, ...pictures] }];
  });
}

function settingBlocks(summary: RunSummary): Block[] {
  const { changed, options, weightBits, activationBits, seed, exactLayers } = summary;
  const hasOwn = summary.multipliers.some(({ thetaOf }) => thetaOf);
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  return [
    facts([
      ['Operands', hasOwn ? widthsText(summary) : `${weightBits}-bit weights, ${activationBits}-bit activations`],
      ['Seed', String(seed)],
      [
        'Not approximated',
        exactLayers.length + summary.products.length === 0 ? undefined : describeExactLayers(summary),
      ],
    ]),
    ...(changed.length === 0
      ? [note('Every setting is the default.')]
      : [
          table(
            ['Setting', 'Value', 'Default'],
            changed.map(({ setting, value, usual }) => [setting, text(value), usual === undefined ? '–' : text(usual)]),
          ),
        ]),
    note('A run with these settings:'),
    { kind: 'code', text: ['tram', 'run', ...options.map(shellWord)].join(' ') },
  ];
}

function inputFacts({ inputs: { data, checkpoint, multiplier }, data: asked, multipliers }: RunSummary): Block {
  const { image, classCounts, trainImages, testImages, classes } = data;
  const [least, most] = [Math.min(...classCounts), Math.max(...classCounts)];
  const each = least === most ? `${grouped(least)} images each` : `${grouped(least)} to ${grouped(most)} images each`;
  const values = (list: readonly number[]) => list.map((value) => significant(value)).join(', ');
  const known = multipliers.map(({ name }) => name).join(', ');
  return facts([
    ['Data set', data.name === asked ? asked : `${data.name} (${asked})`],
    ['Images', `${grouped(trainImages + testImages)} of ${image.height}×${image.width}×${image.channels}`],
    ['Classes', `${classes}, ${each}`],
    [
      'Split',
      [`${grouped(trainImages)} to train, ${grouped(testImages)} to test`, data.split].filter(Boolean).join(': '),
    ],
    ['Class names', data.classNames && clipped(data.classNames.join(', '), 600)],
    ['Labels', data.labels],
    [
      'Left out',
      data.badImages &&
        clipped(`${data.badImages.length} files that cannot be decoded: ${data.badImages.join(', ')}`, 600),
    ],
    [
      'Input',
      `(raw / ${data.scale} − mean) / deviation; mean ${values(data.mean)}, deviation ${values(data.deviation)}`,
    ],
    ['SHA-256 of the data', data.sha256],
    ['Float model from', checkpoint?.path],
    ['SHA-256 of it', checkpoint?.sha256],
    ['Multiplier given', multiplier?.source],
    ['SHA-256 of it', multiplier?.sha256],
    ['Written as', multiplier ? known : undefined],
  ]);
}

function workBlocks({ phases, program, created }: RunSummary): Block[] {
  if (phases.length === 0) return [];
  const total = phases.reduce((sum, { seconds }) => sum + seconds, 0);
  const commands = [...new Set(phases.flatMap(({ command }) => command ?? []))];
  return [
    table(
      ['Phase', numeric('Time'), 'Finished', 'Device'],
      phases.map(({ phase, seconds, finished, device }) => [
        phase,
        duration(seconds),
        moment(finished),
        `${device.name}: ${device.detail}`,
      ]),
    ),
    facts([
      ['In all', duration(total)],
      ['Begun', moment(created)],
      ['Versions', `tram ${program.tram}, Node.js ${program.node}`],
    ]),
    ...(commands.length === 0 ? [] : [note(commands.length > 1 ? 'Commands:' : 'Command:')]),
    ...commands.map((text): Block => ({ kind: 'code', text })),
  ];
}

/** 2026-11-25T16:38:34.123Z → "2026-11-25 16:38:34 UTC". */
const moment = (iso: string) => iso.replace(/T([\d:]+)(?:\.\d+)?Z$/, ' $1 UTC');

/** The page itself and what only this call knows of are not among the files of the summary. */
function fileBlocks({ files, multipliers }: RunSummary, figures: readonly string[], at: string): Block[] {
  const inRun = files.filter(({ group, path }) => group === 'run' && !/(^|[/\\])(figures|report\.html)$/.test(path));
  const link = ({ title, path }: { title: string; path: string }) => ({
    path: relative(at, path),
    description: title,
  });
  const ofMultipliers = files.filter(({ group }) => group === 'multiplier').map(link);
  const pictures = figures.map((path) => ({ path }));
  const fold = (title: string, links: readonly { path: string; description?: string }[]): Block => ({
    kind: 'folded',
    title,
    blocks: [{ kind: 'links', links }],
  });
  return [
    { kind: 'links', links: [...inRun.map(link), ...(multipliers.length > 1 ? [] : ofMultipliers)] },
    ...(multipliers.length > 1
      ? [fold(`${ofMultipliers.length} files of the ${multipliers.length} multipliers`, ofMultipliers)]
      : []),
    ...(pictures.length === 0 ? [] : [fold(`${pictures.length} figures`, pictures)]),
  ];
}
