// A new run from the finished phases of another: those whose settings are the same are copied with their metrics, each
// file checked against its hash. The other run is only read.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeFolder, openJsonLines, readJsonLines, writeInside } from '../../tensor/files.ts';
import type { Configuration } from '../settings/config.ts';
import { describeDifference, isView, type Phase, phases, phasesBeside, settingsOf } from '../settings/phases.ts';
import type { MetricRecord } from './events.ts';
import { files } from './folder.ts';
import { requireIntact } from './integrity.ts';
import { type Manifest, type RunInputs, verifiedBytes, writeManifest } from './manifest.ts';
import { isRunFile } from './plan.ts';

/**
 * The phases that a run with this configuration takes from `source`, every file of theirs verified. They end where the
 * run has a phase of its own, among `kept`, that came to other files: what follows in the source was not made from
 * those.
 */
export function phasesToTake(
  from: string,
  source: Manifest,
  configuration: Configuration,
  inputs: RunInputs,
  kept: Manifest['phases'],
): readonly Phase[] {
  const taken: Phase[] = [];
  for (const phase of phasesBeside(configuration, source.phases)) {
    const record = source.phases[phase];
    if (!record || isView(phase)) break;
    if (describeDifference(record.settings, settingsOf(configuration, phase, inputs)) !== '') break;
    const own = kept[phase];
    if (own && describeDifference(JSON.stringify(own.files), JSON.stringify(record.files)) !== '') break;
    taken.push(phase);
  }
  requireIntact(from, Object.fromEntries(taken.map((phase) => [phase, source.phases[phase]])));
  return taken;
}

/** Copies those of the phases into the folder that it does not have; returns the manifest with them. */
export function takePhases(
  folder: string,
  manifest: Manifest,
  from: string,
  source: Manifest,
  taken: readonly Phase[],
): Manifest {
  let grown = manifest;
  for (const phase of taken) {
    if (grown.phases[phase]) continue;
    const record = source.phases[phase]!;
    for (const path of Object.keys(record.files).filter(isRunFile)) {
      makeFolder(dirname(join(folder, path)));
      writeInside(folder, path, verifiedBytes(from, record, path));
    }
    copyMetrics(from, folder, phase);
    grown = { ...grown, phases: { ...grown.phases, [phase]: record } };
    writeManifest(folder, grown);
  }
  return grown;
}

function copyMetrics(from: string, folder: string, phase: Phase): void {
  const path = join(from, files.metrics);
  const lines = existsSync(path) ? (readJsonLines(path) as MetricRecord[]) : [];
  const own = lines.filter((line) => line?.phase === phase);
  if (own.length === 0) return;
  const isEarlier = (line: unknown) => phases.indexOf((line as MetricRecord)?.phase) < phases.indexOf(phase);
  const log = openJsonLines(join(folder, files.metrics), isEarlier);
  for (const line of own) log.append(line);
  log.close();
}
