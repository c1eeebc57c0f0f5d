// `tram generate`: a multiplier of a known family as netlist, with its behavioural formula.
// Invariant: nothing is written before the netlist gave the formula's product for all operand pairs (up to 24 operand bits).

import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { badValue, nonEmpty, perOperand } from '../../flow/settings/values.ts';
import type { ProductTable } from '../../multiplier/table.ts';
import type { GeneratedMultiplier, Generator, GeneratorParameter } from '../../netlist/generators/registry.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { makeFolder, writeFileAtomic } from '../../tensor/files.ts';
import { describeOption } from '../facts.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, percent, type Style, styleFor } from '../style.ts';
import { addJson, filesText, OUTPUT, outFolder } from '../workbench.ts';

const AFTER = `
The netlist is compared with the formula of its kind over all operand pairs before anything is written (up to 12×12 bits; wider
netlists are made, but not enumerated). --out DIR writes NAME.v and NAME.blif and, up to 8×8 bits, NAME.npy and NAME.lut.txt;
NAME, also that of the
module, says kind, widths and parameters.
Without --out, --verilog and --blif nothing is written.

tram generate --list shows every kind with its parameters, their ranges and their source.

The other commands of the workbench take the same multiplier without a file, as kind:8x8:name=value,name=value.

Examples:
  tram generate --list
  tram generate dadda --bits 8 --out multipliers
  tram generate array --bits 4x8 --verilog w4a8.v
  tram generate truncated --bits 8 --param columns=6 --param compensation=constant --out multipliers
`;

interface Options {
  readonly bits?: readonly [number, number];
  readonly param?: Readonly<Record<string, string>>;
  readonly list?: boolean;
  readonly out?: string;
  readonly verilog?: string;
  readonly blif?: string;
  readonly json?: boolean;
}

/** Above so many operand bits together --out writes no tables: they would be larger than a few megabytes. */
const MOST_TABLE_BITS = 16;

export function defineGenerate(command: Command, services: Services): void {
  const bits = describeOption({
    help: 'operand widths',
    values: 'N for both or WxA for weights and activations, each 2 to 26',
    default: '8',
  });
  const param = describeOption({ help: 'a parameter of the kind; repeat for several', values: 'see --list' });
  const file = (flag: string, what: string) =>
    new Option(`${flag} <FILE>`, `write ${what} to a file`).argParser(nonEmpty(flag, 'a file')).helpGroup(OUTPUT);
  command
    .description('Makes a multiplier of a known family, exact or approximate, as Verilog and BLIF.')
    .argument('[KIND]', 'the family; --list shows all', nonEmpty('KIND', 'a kind of multiplier'))
    .addOption(new Option('--list', 'show the kinds with their parameters and do nothing else'))
    .addOption(new Option('--bits <N|WxA>', bits).argParser(widths))
    .addOption(new Option('--param <NAME=VALUE>', param).argParser(addParameter))
    .addOption(outFolder('the files'))
    .addOption(file('--verilog', 'Verilog'))
    .addOption(file('--blif', 'BLIF'));
  addJson(command);
  command.addHelpText('after', AFTER).action((kind: string | undefined) => generateKind(kind, command, services));
}

function widths(text: string): readonly [number, number] {
  const found = perOperand(text);
  if (found) return found;
  throw badValue('--bits', text, 'one width or two, like 8 or 4x8');
}

function addParameter(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const match = /^([a-z]+)=(\S+)$/i.exec(text);
  if (!match) throw badValue('--param', text, 'name=value, like columns=6');
  const [, name, value] = match as unknown as [string, string, string];
  if (Object.hasOwn(before, name)) throw new UserError(`--param: ${name} is given twice; leave one out`);
  return { ...before, [name]: value };
}

async function generateKind(kind: string | undefined, command: Command, { stdout }: Services): Promise<void> {
  const { bits, param = {}, list, out, verilog, blif, json } = command.opts<Options>();
  const { generate, generators } = await import('../../netlist/generators/registry.ts');
  const style = styleFor(stdout, wantsColor(command));
  if (list) {
    if (kind !== undefined) throw new UserError(`--list and the kind '${kind}' are given; leave one out`);
    return void stdout.write(json ? `${JSON.stringify(listed(generators))}\n` : listText(generators, style));
  }
  if (kind === undefined) {
    throw new UserError(
      'no kind is given; write tram generate dadda --bits 8, or tram generate --list to see the kinds',
    );
  }
  const [weightBits, activationBits] = bits ?? [8, 8];
  const made = generate(kind, { ...param, weightBits, activationBits });
  const table = await provedTable(made, weightBits, activationBits);
  const paths = await write(made, table, { out, verilog, blif });
  const { unitGateCost } = await import('../../netlist/structure.ts');
  const { errorMetrics } = await import('../../multiplier/metrics.ts');
  const metrics = table && errorMetrics(table);
  const cost = unitGateCost(made.network);
  if (json) {
    const { name, signed, parameters } = made;
    const report = { name, kind, weightBits, activationBits, signed, parameters, gates: made.network.gateCount, cost };
    const error = metrics && { errorRate: metrics.errorRate, nmed: metrics.normalizedMeanErrorDistance };
    stdout.write(`${JSON.stringify({ ...report, ...error, provedPairs: table?.data.length ?? 0, files: paths })}\n`);
    return;
  }
  const { summary, source } = generators[kind]!;
  const proof = table
    ? `${style.green('proved:')} netlist ≡ formula over ${grouped(table.data.length)} operand pairs`
    : style.dim('not proved: more than 24 operand bits together are not enumerated');
  const lines = [
    `${style.bold(made.name)}: ${weightBits}×${activationBits} bits, ${made.signed ? 'signed' : 'unsigned'}; ${summary} (${source})`,
    `${grouped(made.network.gateCount)} gates, unit-gate cost ${cost}`,
  ];
  if (metrics) {
    const { errorRate, normalizedMeanErrorDistance, maxErrorDistance } = metrics;
    lines.push(`ER ${percent(errorRate)}, NMED ${percent(normalizedMeanErrorDistance, 4)}, MaxED ${maxErrorDistance}`);
  }
  const written = paths.length > 0 ? `\n\n${filesText(paths, style.bold)}` : '';
  stdout.write(`${lines.join('\n')}\n${proof}${written}\n`);
}

/** The table of all products, equal to the formula; null where there are too many. */
async function provedTable(
  { network, formula, signed, name }: GeneratedMultiplier,
  weightBits: number,
  activationBits: number,
): Promise<ProductTable | null> {
  const { MAX_EXHAUSTIVE_BITS } = await import('../../multiplier/widths.ts');
  if (weightBits + activationBits > MAX_EXHAUSTIVE_BITS) return null;
  const { simulate } = await import('../../netlist/simulate.ts');
  const { operandValues } = await import('../../multiplier/table.ts');
  const table = simulate(network, { signed });
  const [ws, xs] = [operandValues(weightBits, signed), operandValues(activationBits, signed)];
  table.data.forEach((product, pair) => {
    const [w, x] = [ws[pair >> activationBits]!, xs[pair & (xs.length - 1)]!];
    invariant(product === formula(w, x), `${name} gives ${product} for ${w} × ${x}, its formula ${formula(w, x)}`);
  });
  return table;
}

async function write(
  { network, name }: GeneratedMultiplier,
  table: ProductTable | null,
  { out, verilog, blif }: { out?: string | undefined; verilog?: string | undefined; blif?: string | undefined },
): Promise<string[]> {
  const { writeVerilog } = await import('../../netlist/verilog/write.ts');
  const { writeBlif } = await import('../../netlist/blif/write.ts');
  const files: [path: string, content: () => string | Uint8Array][] = [];
  if (verilog !== undefined) files.push([verilog, () => writeVerilog(network)]);
  if (blif !== undefined) files.push([blif, () => writeBlif(network)]);
  if (out !== undefined) {
    makeFolder(out);
    const base = join(out, name);
    files.push([`${base}.v`, () => writeVerilog(network)], [`${base}.blif`, () => writeBlif(network)]);
    if (table && table.weightBits + table.activationBits <= MOST_TABLE_BITS) {
      const { writeNpy } = await import('../../netlist/formats/npy.ts');
      const { writeTextTable } = await import('../../netlist/formats/text.ts');
      files.push([`${base}.npy`, () => writeNpy(table)]);
      files.push([`${base}.lut.txt`, () => writeTextTable(table)]);
    }
  }
  for (const [path, content] of files) writeFileAtomic(path, content());
  return files.map(([path]) => path);
}

/** Ranges depend on the widths; the list tells those of 8×8. */
const listWidths = { weightBits: 8, activationBits: 8 };

function valuesOf(parameter: GeneratorParameter): { values: string; default: string } {
  if (parameter.type === 'choice') return { values: parameter.values.join(' | '), default: parameter.default };
  const [least, most] = [parameter.minimum, parameter.maximum(listWidths)];
  return { values: `${least} to ${most} at 8×8`, default: String(parameter.default(listWidths)) };
}

function listed(generators: Readonly<Record<string, Generator>>) {
  return Object.entries(generators).map(([kind, { name, summary, signed, exact, source, parameters }]) => ({
    kind,
    name,
    summary,
    signed,
    exact,
    source,
    parameters: parameters.map((parameter) => ({
      name: parameter.name,
      meaning: parameter.meaning,
      ...valuesOf(parameter),
    })),
  }));
}

function listText(generators: Readonly<Record<string, Generator>>, style: Style): string {
  const width = Math.max(...Object.keys(generators).map((kind) => kind.length)) + 2;
  const indent = ' '.repeat(width);
  return listed(generators)
    .map(({ kind, summary, source, parameters }) =>
      [
        `${style.bold(kind.padEnd(width))}${summary}`,
        style.dim(`${indent}${source}`),
        ...parameters.map(
          ({ name, meaning, values, default: fallback }) =>
            `${indent}${name}=…  ${meaning} [${values}; default: ${fallback}]`,
        ),
        '',
      ].join('\n'),
    )
    .join('');
}
