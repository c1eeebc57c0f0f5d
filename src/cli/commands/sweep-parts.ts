// What the commands of a sweep have in common: their devices, their time, the places to work on, and the results shown.

import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Command } from 'commander';
import { type DeviceOptions, parseDevice } from '../../flow/run/device.ts';
import { badValue, decimalNumber } from '../../flow/settings/values.ts';
import type { SweepReport } from '../../flow/sweep/front.ts';
import { UserError } from '../../tensor/errors.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { shellWord, styleFor, textWidth } from '../style.ts';

/** How the work on a sweep is done, whoever begins it. */
export interface WorkingOptions {
  readonly jobs?: number;
  readonly device?: readonly DeviceOptions[];
  readonly retry?: boolean;
  readonly minutes?: number;
  readonly synthesis?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

export function minutes(text: string): number {
  const value = decimalNumber(text);
  if (value !== undefined && value > 0) return value;
  throw badValue('--minutes', text, 'a number above 0');
}

/** Places to work, behind commas; several GPUs of one place are written with - and +. */
export function placesToWork(text: string): readonly DeviceOptions[] {
  const words = text.split(',').map((word) => word.trim());
  const number = words.find((word) => /^\d/.test(word));
  if (number !== undefined) {
    throw new UserError(
      `--device: in a sweep a comma stands between places to work, each a device, got '${number}' in '${text}'; cuda:0,cuda:2 are two places, cuda:0+2 is one of two GPUs`,
    );
  }
  const places = words.map((word) => parseDevice(word));
  if (places.length > 1 && places.some((place) => place.devices === 'ranks')) {
    throw new UserError(`--device: cuda:ranks is all GPUs that were started for this command; leave the others out`);
  }
  return places;
}

/**
 * One place to work for each device and job; jobs on the processor share its cores. All devices come once before any
 * comes twice: where there is less to do than there are places, as at the beginning, no device does it all.
 */
export function slotsOf(
  common: DeviceOptions,
  { jobs = 1, device = [{}] }: Pick<WorkingOptions, 'jobs' | 'device'>,
  cores: number,
): readonly DeviceOptions[] {
  return Array.from({ length: jobs }, () => device)
    .flat()
    .map((one, _, places) => {
      const slot: DeviceOptions = { ...common, ...one };
      const isOnCores = (slot.name ?? 'wasm') === 'wasm' && slot.threads === undefined && places.length > 1;
      const threads = Math.max(1, Math.floor(cores / places.length));
      return isOnCores ? { ...slot, threads } : slot;
    });
}

export async function showSweep(
  folder: string,
  report: SweepReport,
  command: Command,
  { stdout }: Services,
): Promise<void> {
  const { json, quiet } = command.opts<WorkingOptions>();
  if (json) stdout.write(`${JSON.stringify(report)}\n`);
  else {
    const { sweepText } = await import('../sweep-table.ts');
    const { sweepFiles } = await import('../../flow/sweep/folder.ts');
    const { json: data, csv, tex, svg, png, best } = sweepFiles;
    const files = [data, csv, tex, svg, png, best]
      .map((name) => join(folder, name))
      .filter((path) => existsSync(path))
      .map((path) => shellWord(relative('', path)));
    const text = sweepText(report, styleFor(stdout, wantsColor(command)), textWidth(stdout));
    const netlists = report.answers
      .map(({ point }) => join(folder, best, `${point}.multiplier.v`))
      .filter((path) => existsSync(path))
      .map((path) => `netlist of the cheapest: ${shellWord(relative('', path))}\n`);
    stdout.write(`${quiet ? '' : '\n'}${text}\n\n${netlists.join('')}files: ${files.join(' ')}\n`);
  }
}
