// metrics.jsonl, the log of every epoch. Invariant: the epochs of each phase are 1, 2, 3, … in the order of the phases,
// and what a finished phase logged is what its record in the manifest vouches for, by hash. A line that is lost,
// repeated, changed or foreign is named.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../../tensor/errors.ts';
import { type JsonLinesLog, openJsonLines, readJsonLines, sha256 } from '../../tensor/files.ts';
import type { Position } from '../../train/loop.ts';
import { describeIssues } from '../settings/config.ts';
import { type Phase, phases, type TrainingPhase, trainingPhases } from '../settings/phases.ts';
import type { MetricRecord } from './events.ts';
import type { Manifest } from './manifest.ts';

export const METRICS_FILE = 'metrics.jsonl';

const metricSchema = z.looseObject({
  phase: z.enum(trainingPhases),
  epoch: z.int().min(1),
  loss: z.number(),
  crossEntropy: z.number(),
  trainAccuracy: z.number(),
  testLoss: z.number(),
  testAccuracy: z.number(),
  power: z.number().optional(),
  theta: z.record(z.string(), z.array(z.number())).optional(),
  lambda: z.number().optional(),
  wantedPower: z.number().optional(),
  estimatedLoss: z.number().optional(),
  learningRate: z.number(),
});

/**
 * The lines of a run's log; none when there is no log. A UserError names file and line of what is no record of an
 * epoch.
 */
export function readMetrics(folder: string): MetricRecord[] {
  const path = join(folder, METRICS_FILE);
  return existsSync(path) ? checked(readJsonLines(path), path) : [];
}

function checked(lines: readonly unknown[], path: string): MetricRecord[] {
  lines.forEach((line, at) => {
    const parsed = metricSchema.safeParse(line);
    if (parsed.success) return;
    throw new UserError(
      `${path}:${at + 1}: not a record of an epoch (${describeIssues(parsed.error)}); restore the log`,
    );
  });
  return lines as MetricRecord[];
}

/** A line of the log, for one who reads it while it grows; undefined where it is no record of an epoch. */
export function metricOf(line: unknown): MetricRecord | undefined {
  return metricSchema.safeParse(line).success ? (line as MetricRecord) : undefined;
}

/** SHA-256 of the lines that a phase has logged; undefined when it logged none. */
export function metricsHash(records: readonly MetricRecord[], phase: Phase): string | undefined {
  const own = records.filter((record) => record.phase === phase);
  return own.length === 0 ? undefined : sha256(...own.map((record) => `${JSON.stringify(record)}\n`));
}

/** What the record of a phase that has just ended says of its lines in the log. */
export function loggedBy(folder: string, phase: Phase): { readonly metrics?: string } {
  const metrics = metricsHash(readMetrics(folder), phase);
  return metrics === undefined ? {} : { metrics };
}

/**
 * What is wrong with the log of the finished phases, as one sentence without its subject; undefined when it is whole.
 * Lines of phases that are not finished may follow: they are cut or continued when the phase goes on.
 */
export function metricsFault(
  records: readonly MetricRecord[],
  done: Manifest['phases'],
): { readonly phase: TrainingPhase; readonly detail: string } | undefined {
  const finished = trainingPhases.filter((phase) => done[phase]);
  const expected = finished.flatMap((phase) => records.filter((record) => record.phase === phase));
  for (const phase of finished) {
    const own = records.filter((record) => record.phase === phase);
    if (metricsHash(records, phase) === done[phase]?.metrics) continue;
    return { phase, detail: `does not hold the epochs that the phase ${phase} logged (it has ${listed(own)})` };
  }
  const stray = expected.findIndex((record, at) => record !== records[at]);
  const [found] = stray < 0 ? [] : [records[stray]!];
  if (!found) return undefined;
  const phase = expected[stray]!.phase;
  return { phase, detail: `has a line of ${found.phase}, epoch ${found.epoch}, among those of ${phase}` };
}

function listed(records: readonly MetricRecord[]): string {
  if (records.length === 0) return 'none of them';
  const epochs = records.slice(0, 12).map(({ epoch }) => epoch);
  return `${records.length === 1 ? 'epoch' : 'epochs'} ${epochs.join(', ')}${records.length > 12 ? ', …' : ''}`;
}

/**
 * Opens the log for a phase that goes on at `start`: what a later position has logged, and what phases behind this one
 * have, is cut off.
 * A UserError says which epochs before the position are missing.
 */
export function openMetrics(folder: string, phase: TrainingPhase, start: Position): JsonLinesLog {
  const path = join(folder, METRICS_FILE);
  const before = phases.indexOf(phase);
  const log = openJsonLines(path, (line) => {
    const record = metricSchema.safeParse(line).data;
    if (!record) return false;
    return record.phase === phase ? record.epoch <= start.epoch : phases.indexOf(record.phase) < before;
  });
  const own = (log.records as readonly MetricRecord[]).filter((record) => record.phase === phase);
  if (own.length === start.epoch && own.every(({ epoch }, at) => epoch === at + 1)) return log;
  log.close();
  throw new UserError(
    `${path} does not hold the ${start.epoch} epochs of the phase ${phase} that are done (it has ${listed(own)}); restore it, or remove checkpoints/resume.safetensors to start the phase again`,
  );
}
