// `tram models`: the networks that can be named, with their size; or the layers of one, also of one's own.

import { type Command, Option } from 'commander';
import type { ModelFacts } from '../../flow/models.ts';
import { wholeNumberFrom } from '../../flow/settings/values.ts';
import { given } from '../../tensor/given.ts';
import { describeOption } from '../facts.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, type Style, styleFor } from '../style.ts';
import { plainTable, tableText } from '../tables.ts';

const AFTER = `
Without a MODEL all that can be named: parameters, multiplications of an image (MACs), layers that multiply, image size and classes that
the figures are for. With one its layers. A model of your own is the path of its file: docs/models.md says how to write one; an ONNX
file is one too (docs/onnx.md).

Examples:
  tram models
  tram models imagenet/regnety_400m
  tram models ./mynet.mjs --image 28x28x1 --classes 10
  tram models ./net.onnx
`;

interface Options {
  readonly image?: string;
  readonly classes?: number;
  readonly json?: boolean;
}

export function defineModels(command: Command, { stdout }: Services): void {
  const option = (flags: string, help: string, values: string, usual: string) =>
    new Option(flags, describeOption({ help, values, default: usual })).helpGroup('Model:');
  command
    .description('Lists the networks that can be named with their size, or the layers of one.')
    .argument('[MODEL]', 'a name of the list, or the path of a .mjs or .onnx file')
    .addOption(option('--image <HxWxC>', 'size of an image', 'HEIGHTxWIDTHxCHANNELS', "the model's own, else 32x32x3"))
    .addOption(
      option(
        '--classes <N>',
        'number of classes',
        'a whole number from 2 to 1000000',
        "the model's own, else 10",
      ).argParser(wholeNumberFrom('--classes', 2, 1_000_000)),
    )
    .addOption(new Option('--json', 'print JSON').helpGroup('Output:'))
    .addHelpText('after', AFTER);
  command.action(async (name: string | undefined, { image, classes, json }: Options) => {
    const { describeModel, listModels } = await import('../../flow/models.ts');
    const style = styleFor(stdout, wantsColor(command));
    if (name === undefined) {
      const list = listModels();
      stdout.write(json ? `${JSON.stringify(list.map(inShort))}\n` : `${listText(list, style)}\n`);
      return;
    }
    const facts = await describeModel(name, given({ image, classes }));
    stdout.write(json ? `${JSON.stringify(facts)}\n` : `${layersText(facts, style)}\n`);
  });
}

const inShort = ({ layers, ...facts }: ModelFacts) => ({ ...facts, layers: layers.length });

function listText(list: readonly ModelFacts[], style: Style): string {
  const right = ['right', 'right', 'right', 'right', 'right'] as const;
  const table = plainTable(['model', 'parameters', 'MACs', 'layers', 'image', 'classes'], style, ['left', ...right]);
  for (const { name, parameters, macs, layers, image, classes } of list) {
    table.push([name, grouped(parameters), grouped(macs), String(layers.length), image.join('×'), String(classes)]);
  }
  return tableText(table);
}

function layersText({ name, description, source, image, classes, parameters, macs, layers }: ModelFacts, style: Style) {
  const table = plainTable(['layer', 'kind', 'kernel', 'groups', 'in → out', 'MACs'], style, [
    ...(['left', 'left', 'right', 'right', 'right', 'right'] as const),
  ]);
  for (const layer of layers) {
    const [kh, kw, inputs, outputs] = layer.weightShape as [number, number, number, number];
    const { groups } = layer.geometry;
    const channels = `${inputs * groups} → ${outputs}`;
    table.push([layer.name, layer.kind, `${kh}×${kw}`, String(groups), channels, grouped(layer.macs)]);
  }
  const size = `${grouped(parameters)} parameters; ${grouped(macs)} multiplications of an image ${image.join('×')}, ${classes} classes`;
  const head = [`${style.bold(name)}: ${description}`, ...(source === undefined ? [] : [style.dim(source)]), size];
  return `${head.join('\n')}\n\n${tableText(table)}`;
}
