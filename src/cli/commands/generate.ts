// `tram generate`: a multiplier of a known family as netlist, with its behavioural formula.
// Invariant: nothing is written before the netlist gave the formula's product for all operand pairs (up to 24 operand
// bits).

import { type Command, Option } from 'commander';
import { badValue, nonEmpty, perOperand } from '../../flow/settings/values.ts';
import { UserError } from '../../tensor/errors.ts';
import type { ListedGenerator } from '../../workbench/generate.ts';
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
  const { generateProved, listGenerators, writeGenerated } = await import('../../workbench/generate.ts');
  const style = styleFor(stdout, wantsColor(command));
  if (list) {
    if (kind !== undefined) throw new UserError(`--list and the kind '${kind}' are given; leave one out`);
    return void stdout.write(json ? `${JSON.stringify(listGenerators())}\n` : listText(listGenerators(), style));
  }
  if (kind === undefined) {
    throw new UserError(
      'no kind is given; write tram generate dadda --bits 8, or tram generate --list to see the kinds',
    );
  }
  const [weightBits, activationBits] = bits ?? [8, 8];
  const made = generateProved(kind, { ...param, weightBits, activationBits });
  const { name, signed, parameters, network, cost, table, metrics, summary, source } = made;
  const paths = writeGenerated(made, { folder: out, verilog, blif });
  if (json) {
    const report = { name, kind, weightBits, activationBits, signed, parameters, gates: network.gateCount, cost };
    const error = made.report && { errorRate: made.report.errorRate, nmed: made.report.nmed };
    stdout.write(`${JSON.stringify({ ...report, ...error, provedPairs: table?.data.length ?? 0, files: paths })}\n`);
    return;
  }
  const proof = table
    ? `${style.green('proved:')} netlist ≡ formula over ${grouped(table.data.length)} operand pairs`
    : style.dim('not proved: more than 24 operand bits together are not enumerated');
  const lines = [
    `${style.bold(name)}: ${weightBits}×${activationBits} bits, ${signed ? 'signed' : 'unsigned'}; ${summary} (${source})`,
    `${grouped(network.gateCount)} gates, unit-gate cost ${cost}`,
  ];
  if (metrics) {
    const { errorRate, normalizedMeanErrorDistance, maxErrorDistance } = metrics;
    lines.push(`ER ${percent(errorRate)}, NMED ${percent(normalizedMeanErrorDistance, 4)}, MaxED ${maxErrorDistance}`);
  }
  const written = paths.length > 0 ? `\n\n${filesText(paths, style.bold)}` : '';
  stdout.write(`${lines.join('\n')}\n${proof}${written}\n`);
}

function listText(generators: readonly ListedGenerator[], style: Style): string {
  const width = Math.max(...generators.map(({ kind }) => kind.length)) + 2;
  const indent = ' '.repeat(width);
  return generators
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
