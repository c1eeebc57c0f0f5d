// `tram map`: phase 2 of a run, or the mapping of a θ given on the command line, without any network. Either way
// nothing is written or printed before netlist, BLIF, Verilog and table are proved equal.

import { type Command, Option } from 'commander';
import { thetaOf } from '../../flow/results/theta-text.ts';
import { requireOneDevice } from '../../flow/run/device.ts';
import { findSetting, settingsOfPhases } from '../../flow/settings/fields.ts';
import { nonEmpty, oneOf } from '../../flow/settings/values.ts';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { type MappingStart, mappingStarts } from '../../workbench/choices.ts';
import type { ProvedMapping } from '../../workbench/map.ts';
import { isHardTheta, readTheta } from '../../workbench/theta.ts';
import { describeOption } from '../facts.ts';
import {
  addDeviceOptions,
  addRunOutputOptions,
  addSettings,
  addUnset,
  readDevice,
  readSettings,
  saidBy,
  wantsColor,
} from '../options.ts';
import { performPhases } from '../perform.ts';
import type { Services } from '../services.ts';
import { grouped, type Style, styleFor } from '../style.ts';
import { errorTable } from '../tables.ts';
import { filesText, givenHistograms } from '../workbench.ts';

const AFTER = `
With a run folder it reads theta.json and checkpoints/explored.safetensors, counts the operands of the layers over the calibration images,
and measures the network. A multiplier of your own (--multiplier) takes the place of θ: it is measured on the quantised network
(checkpoints/quantized.safetensors), which has adapted to no other multiplier, and no exploration is needed. Either way the command
writes multiplier.v, .blif, .npy, .lut.txt, their error report and the operands (multiplier.operands.json, which --histograms of
this and other commands reads). Without one it needs --theta, and writes the multiplier's files only with --out.

The descent minimises the mean squared error to the products that θ asks for, at no more cost than the published greedy search needs;
--cost-budget sets another limit, --cost-weight makes the cost a second objective. What costs as much as the cheapest exact multiplier
is that multiplier; the greedy search may end above it, and then says that it is dominated.

θ of every partial product is a matrix, a row for each weight bit from the lowest, the lowest activation bit first; in a file the rows are
lines of numbers, or of # (kept) and . (removed), and its size says the widths. Where all of it is 0 or 1 the kept products are added exactly
(--search exact), and --error-bound lets the search save gates.

--json prints one object: the widths, θ, mseToTarget (to the products that θ asks for; also mseToTargetBefore and
mseToTargetAfterFixedColumns), accepted and moves, gateCost (unit gates, relative to the cheapest exact 8×8 multiplier), cost (the
same relative to the exact array multiplier of the own widths), power (analytic model of θ, relative to the exact 8×8 array), and errorRate, med, nmed, mse (to the exact products), maxEd, mred, mredNonzero, mean,
variance over all operand pairs; dominatedBy, where an exact multiplier costs no more; and statistics: what the searches did (rounds, changes tried and accepted).

Examples:
  tram map runs/mine
  tram map runs/mine --multiplier mul8u.v --redo
  tram map runs/mine --unset multiplier --redo
  tram map --bits 8 --theta 1,1,1,1,0.5,0.2
  tram map --bits 4x8 --theta 1,1,0.3 --out multipliers/w4a8
  tram map --theta 1,1,1,1,0.5,0.5 --cost-budget 0.6 --json
  tram map --theta '1,1,1;1,1,0;0,0,0;0,0,0'
  tram map --theta kept.txt --error-bound 0
  tram map --theta 1,1,1,0.5 --start baugh-wooley --histograms operands.csv
`;

const bits = findSetting('bits');
const search = settingsOfPhases(['map']);
const startNames = Object.keys(mappingStarts) as MappingStart[];

export function defineMap(command: Command, services: Services): void {
  const group = 'Without a run:';
  command
    .description(
      'Phase 2: maps structure parameters θ to a gate-level multiplier. Columns with θ = 1 are removed from the exact array multiplier, ' +
        'then a search replaces further nets while that brings the products closer to what θ asks for.',
    )
    .argument('[RUN]', 'run folder; without it a multiplier is made from --theta', nonEmpty('RUN', 'a run folder'))
    .addHelpText('after', AFTER);
  addSettings(command, [{ ...bits, group: group.slice(0, -1) }], false);
  const theta = describeOption({
    help: 'structure parameters: of the lowest columns, or of every partial product, a row for each weight bit',
    values: 'numbers from 0 (kept) to 1 (removed) separated by commas, semicolons between rows; or a file of rows',
  });
  command
    .addOption(new Option('--theta <LIST>', theta).argParser(nonEmpty('--theta', 'numbers or a file')).helpGroup(group))
    .addOption(
      new Option('--out <DIR>', 'folder for the multiplier’s files')
        .argParser(nonEmpty('--out', 'a folder'))
        .helpGroup(group),
    )
    .addOption(
      new Option(
        '--start <NAME>',
        describeOption({
          help: 'exact multiplier to begin with',
          values: `one of ${startNames.join(', ')}`,
          default: 'array',
        }),
      )
        .argParser(oneOf('--start', startNames))
        .helpGroup(group),
    )
    .addOption(
      new Option(
        '--histograms <FILE>',
        'operand histograms that weight the error (JSON, or CSV rows like w,17,203), for the descent',
      )
        .argParser(nonEmpty('--histograms', 'a file'))
        .helpGroup(group),
    );
  addSettings(command, search, false);
  addUnset(command, search, false);
  addDeviceOptions(command);
  addRunOutputOptions(command);
  command.action(async (folder: string | undefined) => {
    if (folder === undefined) return mapAlone(command, services);
    await performPhases(command, services, {
      folder,
      settings: readSettings(command, search, false),
      said: saidBy(command, search, false),
      phases: ['map'],
      device: readDevice(command),
      command: 'map',
    });
  });
}

interface MapOptions {
  readonly theta?: string;
  readonly out?: string;
  readonly start?: MappingStart;
  readonly histograms?: string;
  readonly json?: boolean;
}

async function mapAlone(command: Command, { stdout }: Services): Promise<void> {
  const { theta: asked, out, json, start = 'array', histograms } = command.opts<MapOptions>();
  if (asked === undefined) {
    throw new UserError('neither a run folder nor --theta is given; write tram map RUN, or tram map --theta 1,1,1,0.5');
  }
  requireOneDevice(readDevice(command), 'a multiplier without a run is mapped on the processor');
  const settings = readSettings(command, [bits, ...search], false);
  const { theta, structure } = readTheta('--theta', asked, settings.bits);
  const { weightBits, activationBits } = structure;
  const { multiplierReport } = await import('../../workbench/files.ts');
  const { describeDominated, mapMultiplier } = await import('../../workbench/map.ts');
  const { signed } = mappingStarts[start];
  const weighting = await givenHistograms(histograms, () => ({ weightBits, activationBits, signed }));
  // Whole partial products are kept exactly unless another search is asked for.
  const usual = isHardTheta(structure, theta) ? 'exact' : 'descent';
  const { costBudget, costWeight, errorBound, search: chosen } = settings.map ?? {};
  const name = chosen ?? (costBudget === undefined && costWeight === undefined ? usual : 'descent');
  const proved = mapMultiplier({
    ...{ weightBits, activationBits, theta, structure, start, search: name },
    ...given({ histograms: weighting, costBudget, costWeight, errorBound, folder: out }),
  });
  const style = styleFor(stdout, wantsColor(command));
  const { mapped, metrics, dominatedBy } = proved;
  stdout.write(
    json
      ? `${JSON.stringify({ ...multiplierReport(mapped, metrics), ...given({ dominatedBy }), statistics: mapped.statistics })}\n`
      : mappingText(proved, dominatedBy && describeDominated(dominatedBy), style),
  );
}

function mappingText(
  { mapped, metrics, certificate, power, files }: ProvedMapping,
  dominated: string | undefined,
  style: Style,
): string {
  const { mseToTarget: mse, moves, structure, theta, network } = mapped;
  const { weightBits, activationBits, gateCost } = structure;
  const sections = [
    `${style.bold(`${weightBits}×${activationBits} multiplier`)}, power ${power.toFixed(4)} (analytic model of θ), gate cost ${gateCost.toFixed(4)} (of the netlist)`,
    ...(dominated === undefined ? [] : [`dominated: ${dominated}`]),
    `MSE to what θ asks for: ${mse.before.toFixed(3)} exact → ${mse.afterFixedColumns.toFixed(3)} without the removed columns → ` +
      `${mse.after.toFixed(3)} after the search (${grouped(moves.length)} accepted)`,
    errorTable([{ name: network.name, theta, metrics, gateCost, certificate }], thetaOf(mapped.thetaStructure), style),
    ...(files.length === 0 ? [] : [filesText(files, style.bold)]),
  ];
  return `${sections.join('\n\n')}\n`;
}
