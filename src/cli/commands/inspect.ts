// `tram inspect`: what a file of tensors holds.

import { type Command, Option } from 'commander';
import { nonEmpty, oneOf } from '../../flow/settings/values.ts';
import { openTensorFile, type TensorFile } from '../../tensor/checkpoint-file.ts';
import { UserError } from '../../tensor/errors.ts';
import { describeTensors, type TensorFacts } from '../../tensor/inspect.ts';
import { clipped, matchesPattern } from '../../tensor/names.ts';
import { formatBytes } from '../../tensor/numbers.ts';
import { formatShape } from '../../tensor/tensor.ts';
import { describeOption } from '../facts.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, type Style, significant, styleFor, textWidth } from '../style.ts';
import { fittingTable, type RankedColumn } from '../tables.ts';

const orders = ['file', 'name', 'size'] as const;
type Order = (typeof orders)[number];

const AFTER = `
Reads .pth and .pt (zip and legacy), and safetensors; nothing that a file holds is run. Statistics are of the finite values; sd is their
standard deviation. Values are read piece by piece, a file may be larger than the memory. What stands beside the tensors (epoch,
optimiser) is said; a dictionary inside of another goes by its keys: optimizer.state.0. Writes nothing.

--json prints one object: file, format, facts, dictionaries (path, others), tensors (name, dictionary, type, shape, elements, bytes,
statistics: min, max, mean, deviation, zeros, nan, infinite).

Examples:
  tram inspect resnet18.pth
  tram inspect resnet18.pth --only '*.running_var' --sort name
  tram inspect large.safetensors --no-statistics --json
`;

interface InspectOptions {
  readonly sort: Order;
  readonly only?: readonly string[];
  readonly statistics: boolean;
  readonly json?: boolean;
}

export function defineInspect(command: Command, services: Services): void {
  const pattern = nonEmpty('--only', 'a name, or a pattern of names');
  command
    .description('Lists the tensors of a checkpoint: names, types, shapes, statistics.')
    .argument('<FILE>', 'a .pth, .pt or .safetensors file', nonEmpty('FILE', 'a file'))
    .addOption(
      new Option('--only <PATTERN...>', 'only tensors of these names; * stands for any characters').argParser(
        (text: string, all: readonly string[] = []) => [...all, pattern(text)],
      ),
    )
    .addOption(
      new Option(
        '--sort <ORDER>',
        describeOption({ help: 'order of the tensors', values: `one of ${orders.join(', ')}`, default: 'file' }),
      )
        .argParser(oneOf('--sort', orders))
        .default('file')
        .helpGroup('Output:'),
    )
    .addOption(new Option('--no-statistics', 'names, types and shapes alone: reads no values').helpGroup('Output:'))
    .addOption(new Option('--json', 'print one JSON object').helpGroup('Output:'))
    .addHelpText('after', AFTER)
    .action((path: string) => inspect(path, command, services));
}

function inspect(path: string, command: Command, { stdout }: Services): void {
  const { sort, only, statistics, json } = command.opts<InspectOptions>();
  const file = openTensorFile(path);
  try {
    const wants = (name: string) => !only || only.some((pattern) => matchesPattern(pattern, name));
    const tensors = [...describeTensors(file, wants, statistics)];
    if (only && tensors.length === 0) throw new UserError(`${path} has no tensor that matches ${only.join(' or ')}`);
    if (sort === 'name') tensors.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    if (sort === 'size') tensors.sort((a, b) => b.bytes - a.bytes);
    const text = json
      ? jsonText(file, tensors)
      : listText(file, tensors, styleFor(stdout, wantsColor(command)), textWidth(stdout));
    stdout.write(`${text}\n`);
  } finally {
    file.close();
  }
}

function jsonText({ name, format, facts, dictionaries }: TensorFile, tensors: readonly TensorFacts[]): string {
  const found = dictionaries.map(({ path, others }) => ({ path, others: Object.fromEntries(others) }));
  return JSON.stringify({ file: name, format, facts: Object.fromEntries(facts), dictionaries: found, tensors });
}

/** So many facts beside the tensors are shown. */
const MOST_FACTS = 12;
const LONGEST_NAME = 70;

/** Lines without a final newline. */
function listText(file: TensorFile, tensors: readonly TensorFacts[], style: Style, width: number): string {
  const elementCount = tensors.reduce((sum, { elements }) => sum + elements, 0);
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const sections = [
    `${style.bold(file.name)}: ${file.format}, ${grouped(tensors.length)} tensors, ${grouped(elementCount)} values, ${formatBytes(bytes)}`,
  ];
  if (file.facts.size > 0) sections.push(factsText('beside the tensors', file.facts, style));
  const several = file.dictionaries.length > 1;
  for (const { path, others } of file.dictionaries) {
    const own = tensors.filter(({ dictionary }) => dictionary === path);
    if (own.length === 0) continue;
    if (several || path !== '')
      sections.push(style.bold(`in ${path === '' ? 'the file itself' : clipped(path, LONGEST_NAME)}`));
    sections.push(fittingTable(own, columns(own), style, width));
    if (others.size > 0) sections.push(factsText('no tensors', others, style));
  }
  const odd = tensors.filter(({ statistics }) => statistics && statistics.nan + statistics.infinite > 0);
  if (odd.length > 0) {
    const names = odd
      .slice(0, 5)
      .map(({ name }) => clipped(name, LONGEST_NAME))
      .join(', ');
    sections.push(style.red(`not finite: ${names}${odd.length > 5 ? `, … (${odd.length} tensors)` : ''}`));
  }
  return sections.join('\n\n');
}

function columns(tensors: readonly TensorFacts[]): readonly RankedColumn<TensorFacts>[] {
  const number = (value: number | null | undefined) =>
    value === null || value === undefined ? '–' : significant(value);
  const of = (head: string, rank: number, pick: (tensor: TensorFacts) => string): RankedColumn<TensorFacts> => ({
    ...{ head, rank, of: pick },
  });
  const named = [
    { ...of('tensor', 0, ({ name }) => clipped(name, LONGEST_NAME)), left: true },
    { ...of('type', 0, ({ type }) => type), left: true },
    { ...of('shape', 0, ({ shape }) => formatShape(shape)), left: true },
  ];
  if (tensors.every(({ statistics }) => statistics === undefined)) return named;
  return [
    ...named,
    of('min', 1, ({ statistics }) => number(statistics?.min)),
    of('max', 1, ({ statistics }) => number(statistics?.max)),
    of('mean', 2, ({ statistics }) => number(statistics?.mean)),
    of('sd', 2, ({ statistics }) => number(statistics?.deviation)),
    of('zeros', 3, ({ statistics }) => grouped(statistics?.zeros ?? 0)),
    of('NaN', 1, ({ statistics }) => grouped(statistics?.nan ?? 0)),
    of('∞', 1, ({ statistics }) => grouped(statistics?.infinite ?? 0)),
  ];
}

function factsText(title: string, facts: ReadonlyMap<string, string>, style: Style): string {
  const shown = [...facts].slice(0, MOST_FACTS).map(([key, value]) => `${clipped(key, 40)}: ${clipped(value, 80)}`);
  const more = facts.size > MOST_FACTS ? ` … (${facts.size})` : '';
  return style.dim(`${title}: ${shown.join(', ')}${more}`);
}
