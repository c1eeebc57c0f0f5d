// What decides the phases of a run, as one key for each: runs with the same key of a phase come to the same result in
// it. Files count by their paths here; a run's manifest knows them by what is in them.

import { sha256 } from '../../tensor/files.ts';
import { asIfUnsaid, type Configuration } from '../settings/config.ts';
import { isView, type Phase, phaseFacts, phases, phasesOf, settingsOf } from '../settings/phases.ts';

export interface PhaseKey {
  readonly phase: Phase;
  /** SHA-256 of the data's settings and those of the phase and all before it. */
  readonly key: string;
}

/** A run's phases in their order, without views. */
export function phaseKeys(configuration: Configuration): readonly PhaseKey[] {
  const own = phasesOf(configuration).filter((phase) => !isView(phase));
  const data = JSON.stringify(
    pick(asIfUnsaid(configuration), (key) => key !== 'recipe' && decidedBy(configuration, key).length === 0),
  );
  return own.map((phase) => ({ phase, key: sha256(data, phase, settingsOf(configuration, phase)) }));
}

/** Where a sweep has what several trials share up to a phase, in its folder. */
export const sharedPath = ({ phase, key }: PhaseKey): string => `shared/${phase}-${key.slice(0, 12)}`;

/** The phases whose result a section of the settings decides; none where it says what the data are. */
export function decidedBy(configuration: Configuration, key: string): readonly Phase[] {
  return phases.filter((phase) => key in phaseFacts[phase].settings(configuration));
}

/** The settings under some keys. */
export function pick<T extends object>(settings: T, wanted: (key: string) => boolean): T {
  return Object.fromEntries(Object.entries(settings).filter(([key]) => wanted(key))) as T;
}
