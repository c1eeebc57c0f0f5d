// `tram data`: what a data set is, before a run: images and classes, normalisation, files that cannot be decoded, and a
// contact sheet. Exit code 1 where some files cannot be decoded.

import { type Command, Option } from 'commander';
import type { DataReport } from '../../flow/results/data.ts';
import { dataGroup, type Setting, settings } from '../../flow/settings/table.ts';
import { nonEmpty, wholeNumberFrom } from '../../flow/settings/values.ts';
import { writeFileAtomic } from '../../tensor/files.ts';
import { describeOption } from '../facts.ts';
import { Exit } from '../failure.ts';
import { addSettings, readSettings, saidBy, wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, isLive, type Style, significant, styleFor } from '../style.ts';

const AFTER = `
Reads every image once, as a run would, with the same options; writes nothing but the sheet.

Exit code: 0 all images are read; 1 some files cannot be decoded, with the reasons; 2 the data cannot be opened.

--json prints one object: name, description, image (height, width, channels), classes (name, train, test), scale, mean, deviation, range (of
raw values), labels, notes, badImages, badReasons (why, in their order) and sha256.

Examples:
  tram data digits
  tram data photos/ --sheet photos.svg
  tram data cifar10:data/cifar --classes-of cat,dog
`;

/** Images of each class on a sheet, where nothing is said. */
const EACH = 10;

/** The settings of a run that say what its data are; files that cannot be decoded are told here in any case. */
const ofData = (): readonly Setting[] =>
  settings.filter(({ group, name }) => group === dataGroup && name !== 'data' && name !== 'bad-images');

interface Options {
  readonly sheet?: string;
  readonly each?: number;
  readonly json?: boolean;
}

export function defineData(command: Command, services: Services): void {
  const each = describeOption({ help: 'images of each class on the sheet', values: '1 to 100', default: `${EACH}` });
  command
    .description('Tells what a data set is: images, classes, normalisation, and files that cannot be decoded.')
    .argument('<DATA>', 'data set, or a path that holds one', nonEmpty('DATA', 'a data set'))
    .addOption(
      new Option('--sheet <FILE>', 'a picture with images of each class, as SVG')
        .argParser(nonEmpty('--sheet', 'the path of a file'))
        .helpGroup('Output:'),
    )
    .addOption(new Option('--each <N>', each).argParser(wholeNumberFrom('--each', 1, 100)).helpGroup('Output:'))
    .addOption(new Option('--json', 'print one JSON object').helpGroup('Output:'))
    .addHelpText('after', AFTER);
  addSettings(command, ofData(), false);
  command.action((data: string) => tellData(data, command, services));
}

async function tellData(data: string, command: Command, { stdout, stderr }: Services): Promise<void> {
  const { sheet, each = EACH, json } = command.opts<Options>();
  const { examineData } = await import('../../flow/results/data.ts');
  const live = isLive(stderr);
  const { sheet: picture, ...report } = await examineData({
    settings: { ...readSettings(command, ofData(), false), data },
    said: saidBy(command, ofData(), false),
    ...(sheet === undefined ? {} : { sheet: each }),
    tell: (text) => void (live && stderr.write(`${text}\n`)),
  });
  if (sheet !== undefined && picture !== undefined) writeFileAtomic(sheet, `${picture}\n`);
  const style = styleFor(stdout, wantsColor(command));
  stdout.write(json ? `${JSON.stringify(report)}\n` : dataText(report, style, sheet));
  if (report.badImages.length > 0) throw new Exit(1);
}

const MOST_CLASSES = 40;
const MOST_FILES = 20;

function dataText(report: DataReport, style: Style, sheet: string | undefined): string {
  const { name, description, classes, scale, mean, deviation, range, labels, notes, badImages, badReasons, sha256 } =
    report;
  const width = classes.slice(0, MOST_CLASSES).reduce((most, one) => Math.max(most, one.name.length), 5);
  const row = (first: string, train: string, test: string) =>
    `  ${first.padEnd(width)} ${train.padStart(9)} ${test.padStart(9)}`;
  const values = (list: readonly number[]) => list.map((value) => significant(value)).join(', ');
  return [
    `${style.bold(name)}: ${description}`,
    `labels: ${labels}`,
    ...notes.map((text) => `note: ${text}`),
    `values: ${range[0]} to ${range[1]}, ${scale} means 1`,
    `mean ${values(mean)}; deviation ${values(deviation)}`,
    '',
    style.dim(row('class', 'train', 'test')),
    ...classes.slice(0, MOST_CLASSES).map((one) => row(one.name, grouped(one.train), grouped(one.test))),
    ...(classes.length > MOST_CLASSES ? [`  … and ${classes.length - MOST_CLASSES} more (--json has all)`] : []),
    '',
    ...(badImages.length > 0 ? [style.red(`cannot be decoded: ${grouped(badImages.length)}`)] : []),
    ...badImages.slice(0, MOST_FILES).map((path, k) => `  ${path}: ${badReasons[k]}`),
    ...(badImages.length > MOST_FILES ? [`  … and ${badImages.length - MOST_FILES} more (--json has all)`] : []),
    `SHA-256 ${sha256}`,
    ...(sheet === undefined ? [] : [`sheet: ${sheet}`]),
    '',
  ].join('\n');
}
