// `tram evaluate`: measures a run's network anew on the test images.

import { basename, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { type FrozenStage, frozenStages, isFrozenStage, STREAM_BITS } from '../../flow/results/frozen-stages.ts';
import { type KeptStage, keptStages, stageTitles } from '../../flow/run/stages.ts';
import { nonEmpty, oneOf, wholeNumberFrom } from '../../flow/settings/values.ts';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { describeOption } from '../facts.ts';
import { addDeviceOptions, readDevice, wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, isLive, percent, styleFor } from '../style.ts';

const AFTER = `
Stages:
${keptStages.map((stage) => `  ${stage.padEnd(14)}${stageTitles[stage]}`).join('\n')}

Reads the run folder and the data set; writes nothing. --json prints one object with stage, accuracy (0 to 1), loss, images,
and power (by the run’s model of θ) or gateCost (of the netlist) where the stage has one, both relative to an exact 8×8 multiplier.

With --integer the network is also run as integers (quantized, mapped or recovered; docs/integer-network.md), image by image: accuracy,
agreement of predictions with the float-scaled network, and the widths that its sums need. --json then prints stage, images, accuracy,
floatAccuracy, agreement, largestLogitDifference, logitSpread, layers, islands.

Examples:
  tram evaluate runs/mine
  tram evaluate runs/mine --stage quantized --json
  tram evaluate runs/mine --integer --images 50
`;

interface EvaluateOptions {
  readonly stage?: KeptStage;
  readonly data?: string;
  readonly json?: boolean;
  readonly integer?: boolean;
  readonly images?: number;
  readonly streamBits?: number;
}

function frozenStage(stage: KeptStage | undefined): FrozenStage | undefined {
  if (stage === undefined || isFrozenStage(stage)) return stage;
  throw new UserError(`the network of the stage ${stage} has no integers; give one of ${frozenStages.join(', ')}`);
}

export function defineEvaluate(command: Command, services: Services): void {
  const { stdout, stderr, loadFlow } = services;
  const stage = describeOption({
    help: 'which network to measure',
    values: `one of ${keptStages.join(', ')}`,
    default: 'the last that the run has reached',
  });
  command
    .description('Measures accuracy and loss of a run’s network on all test images, in the arithmetic of the stage.')
    .argument('<RUN>', 'run folder', nonEmpty('RUN', 'a run folder'))
    .addOption(new Option('--stage <STAGE>', stage).argParser(oneOf('--stage', keptStages)))
    .addOption(
      new Option('--data <DATA>', 'where the run’s data set is now, when it was moved').argParser(
        nonEmpty('--data', 'a data set'),
      ),
    )
    .addOption(new Option('--integer', 'run the network as integers beside it'))
    .addOption(
      new Option(
        '--images <N>',
        describeOption({
          help: 'with --integer: so many test images, from the first on',
          ...{ values: 'a whole number of at least 1', default: 'all' },
        }),
      ).argParser(wholeNumberFrom('--images', 1, 1_000_000)),
    )
    .addOption(
      new Option(
        '--stream-bits <BITS>',
        describeOption({
          help: 'with --integer: bits of values in fixed point between layers',
          ...{ values: `${STREAM_BITS.least} to ${STREAM_BITS.most}`, default: String(STREAM_BITS.usual) },
        }),
      ).argParser(wholeNumberFrom('--stream-bits', STREAM_BITS.least, STREAM_BITS.most)),
    )
    .addOption(new Option('--json', 'print one JSON object').helpGroup('Output:'))
    .addHelpText('after', AFTER);
  addDeviceOptions(command);
  command.action(async (folder: string) => {
    const { stage, data, json, integer, images, streamBits } = command.opts<EvaluateOptions>();
    let seen = 0;
    const live = isLive(stderr);
    const clear = () => void (live && stderr.write('\r\x1b[K'));
    const onImages = (images: number) => {
      seen += images;
      if (live) stderr.write(`\r${grouped(seen)} images`);
    };
    const asked = { folder, device: readDevice(command), onImages, ...given({ data }) };
    try {
      if (integer) {
        const { evaluateIntegers } = await import('../../flow/results/evaluate-integers.ts');
        const own = given({ stage: frozenStage(stage), images, streamBits });
        const figures = await evaluateIntegers({ ...asked, ...own });
        clear();
        if (json) return void stdout.write(`${JSON.stringify(figures)}\n`);
        const { integerReport } = await import('../../flow/results/exports.ts');
        return void stdout.write(await integerReport(basename(resolve(folder)), figures));
      }
      const { evaluateRun } = await loadFlow();
      const result = await evaluateRun({ ...asked, ...given({ stage }) });
      clear();
      if (json) return void stdout.write(`${JSON.stringify(result)}\n`);
      const { accuracy, loss, power, gateCost, images: measured } = result;
      const facts = [`accuracy ${percent(accuracy)}`, `loss ${loss.toFixed(4)}`];
      if (power !== undefined) facts.push(`power ${power.toFixed(4)}`);
      if (gateCost !== undefined) facts.push(`gate cost ${gateCost.toFixed(4)}`);
      const title = styleFor(stdout, wantsColor(command)).bold(stageTitles[result.stage]);
      stdout.write(`${title}: ${facts.join(', ')} on ${grouped(measured)} test images\n`);
    } catch (error) {
      clear();
      throw error;
    }
  });
}
