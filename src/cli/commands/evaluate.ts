// `tram evaluate`: measures a run's network anew on the test images.

import { type Command, Option } from 'commander';
import { type KeptStage, keptStages, stageTitles } from '../../flow/run/stages.ts';
import { nonEmpty, oneOf } from '../../flow/settings/values.ts';
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

Examples:
  tram evaluate runs/mine
  tram evaluate runs/mine --stage quantized --json
`;

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
    .addOption(new Option('--json', 'print one JSON object').helpGroup('Output:'))
    .addHelpText('after', AFTER);
  addDeviceOptions(command);
  command.action(async (folder: string) => {
    const { stage, data, json } = command.opts<{ stage?: KeptStage; data?: string; json?: boolean }>();
    const { evaluateRun } = await loadFlow();
    let seen = 0;
    const live = isLive(stderr);
    const clear = () => void (live && stderr.write('\r\x1b[K'));
    try {
      const result = await evaluateRun({
        folder,
        device: readDevice(command),
        ...given({ stage, data }),
        onImages: (images) => {
          seen += images;
          if (live) stderr.write(`\r${grouped(seen)} images`);
        },
      });
      clear();
      if (json) return void stdout.write(`${JSON.stringify(result)}\n`);
      const { accuracy, loss, power, gateCost, images } = result;
      const facts = [`accuracy ${percent(accuracy)}`, `loss ${loss.toFixed(4)}`];
      if (power !== undefined) facts.push(`power ${power.toFixed(4)}`);
      if (gateCost !== undefined) facts.push(`gate cost ${gateCost.toFixed(4)}`);
      const title = styleFor(stdout, wantsColor(command)).bold(stageTitles[result.stage]);
      stdout.write(`${title}: ${facts.join(', ')} on ${grouped(images)} test images\n`);
    } catch (error) {
      clear();
      throw error;
    }
  });
}
