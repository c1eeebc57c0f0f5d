// What logs tell of a run, as names and numbers that every such program can hold: the figures of an epoch and of a
// stage, and the settings.

import { basename, dirname, join, resolve } from 'node:path';
import type { MetricRecord } from '../run/events.ts';
import type { Manifest } from '../run/manifest.ts';
import type { StageResult } from '../run/stages.ts';
import { asIfUnsaid, type Configuration } from '../settings/config.ts';
import { epochsBefore, isTraining, type Phase, phases, phasesOf } from '../settings/phases.ts';

export type NamedFigure = readonly [name: string, value: number];

const figuresOfRecord = {
  loss: 'loss',
  crossEntropy: 'cross_entropy',
  trainAccuracy: 'train_accuracy',
  testLoss: 'test_loss',
  testAccuracy: 'test_accuracy',
  power: 'power',
  wantedPower: 'wanted_power',
  lambda: 'lambda',
  estimatedLoss: 'estimated_accuracy_loss',
  learningRate: 'learning_rate',
} as const satisfies Partial<Record<keyof MetricRecord, string>>;

/** `explore/loss`, `explore/power`, …: those that the epoch has. */
export function figuresOf(record: MetricRecord): NamedFigure[] {
  return Object.entries(figuresOfRecord).flatMap(([key, name]): NamedFigure[] => {
    const value = record[key as keyof typeof figuresOfRecord];
    return value === undefined ? [] : [[`${record.phase}/${name}`, value]];
  });
}

/** `stage/mapped/accuracy`, …, by the name that they stand under. */
export function figuresOfStage({ accuracy, loss, power, gateCost }: StageResult, under: string): NamedFigure[] {
  const all = { accuracy, loss, power, gate_cost: gateCost };
  return Object.entries(all).flatMap(([name, value]): NamedFigure[] =>
    value === undefined ? [] : [[`${under}/${name}`, value]],
  );
}

/** θ of each structure of an epoch, by the layer or kind that has it; one that all share is `all`. */
export function thetaOf({ theta = {} }: MetricRecord): (readonly [name: string, values: readonly number[]])[] {
  return Object.entries(theta).map(([name, values]) => [
    name === 'theta' ? 'all' : name.replace(/\.theta$/, ''),
    values,
  ]);
}

/** The settings by their paths, `explore.lambda`; a list is its items with commas, what is unset is left out. */
export function parametersOf(configuration: Configuration): Record<string, string | number | boolean> {
  const own: readonly string[] = phasesOf(configuration);
  const idle = phases.filter((phase) => !own.includes(phase));
  const found: Record<string, string | number | boolean> = {};
  const visit = (value: unknown, path: string) => {
    if (Array.isArray(value)) found[path] = value.map(String).join(',');
    else if (typeof value === 'object' && value !== null) {
      for (const [key, inner] of Object.entries(value)) visit(inner, path === '' ? key : `${path}.${key}`);
    } else if (['string', 'number', 'boolean'].includes(typeof value)) found[path] = value as string;
  };
  visit(Object.fromEntries(Object.entries(configuration).filter(([key]) => !idle.includes(key as Phase))), '');
  return found;
}

/** Number of an epoch in the run as a whole: logs have one axis for all phases. */
export function stepOf(configuration: Configuration, { phase, epoch }: MetricRecord): number {
  return epochsBefore(configuration, phase) + epoch;
}

/** Number of the last epoch up to the end of a phase. */
export function endOf(configuration: Configuration, phase: Phase): number {
  const until = phasesOf(configuration).filter((name) => phases.indexOf(name) <= phases.indexOf(phase));
  const meant = asIfUnsaid(configuration);
  return until.filter(isTraining).reduce((sum, name) => sum + meant[name].epochs, 0);
}

/** The epochs of the phases that the run has. */
export function recordsOf(manifest: Manifest, records: readonly MetricRecord[]): MetricRecord[] {
  const own = phasesOf(manifest.configuration);
  return records.filter(({ phase }) => own.includes(phase));
}

/** When an epoch of a finished phase ended, in milliseconds, as far as is known: epochs took the same time each. */
export function timeOf({ configuration, phases: done }: Manifest, { phase, epoch }: MetricRecord): number | undefined {
  const record = done[phase];
  if (!record) return undefined;
  const left = configuration[phase].epochs - epoch;
  return Date.parse(record.finished) - (1000 * record.seconds * left) / configuration[phase].epochs;
}

/** A run's name in a list of many: that of its folder, of a trial with its sweep's in front. */
export function nameOf(folder: string): string {
  const path = resolve(folder);
  const above = dirname(path);
  return ['trials', 'shared'].includes(basename(above))
    ? join(basename(dirname(above)), basename(path))
    : basename(path);
}
