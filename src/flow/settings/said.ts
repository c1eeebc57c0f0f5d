// What a user has said in so many words, and what of it decides nothing beside the other settings (effects.ts): an
// option is refused; a key of a file of settings, which may be those of another run, is told.

import { UserError } from '../../tensor/errors.ts';
import { type Configuration, type ConfigurationInput, parseConfiguration, withSetting } from './config.ts';
import { idleAt, valueAt } from './effects.ts';

/** What is said at once, by an option or a key of a file: values of one path of the configuration, or of several. */
export interface Said {
  /** As the user wrote it: `--power`, `explore.power`. */
  readonly label: string;
  readonly paths: readonly string[];
  /** The file whose key it is. */
  readonly file?: string;
}

/** Every value of some settings, by its path. */
export function saidIn(settings: object, file?: string, path = ''): readonly Said[] {
  return Object.entries(settings).flatMap(([key, value]) => {
    const at = path === '' ? key : `${path}.${key}`;
    if (value === undefined) return [];
    const isSection = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isSection ? saidIn(value as object, file, at) : [{ label: at, paths: [at], ...(file && { file }) }];
  });
}

/** "--power has no effect: …; …" where none of its values can decide anything; else undefined. */
export function describeIdle({ label, paths }: Said, configuration: Configuration): string | undefined {
  const idles = paths.map((path) => idleAt(path, configuration));
  const [first] = idles;
  return first && !idles.includes(undefined) ? `${label} has no effect: ${first.because}; ${first.instead}` : undefined;
}

/** Refuses the first option that decides nothing. */
export function refuseIdle(said: readonly Said[], configuration: Configuration): void {
  for (const one of said) {
    const idle = one.file === undefined ? describeIdle(one, configuration) : undefined;
    if (idle !== undefined) throw new UserError(idle);
  }
}

/** A line for each key of a file that decides nothing, but for those that say what there is without them. */
export function idleKeys(
  said: readonly Said[],
  given: ConfigurationInput,
  configuration: Configuration,
): readonly string[] {
  const idle = said.filter((one) => one.file !== undefined && describeIdle(one, configuration) !== undefined);
  if (idle.length === 0) return [];
  const paths = idle.flatMap((one) => one.paths);
  const less = paths.reduce((input, path) => withSetting(input, path, undefined), given);
  const without = parseConfiguration(less, 'settings');
  const differs = (path: string) => JSON.stringify(valueAt(given, path)) !== JSON.stringify(valueAt(without, path));
  return idle.filter((one) => one.paths.some(differs)).map((one) => `${one.file}: ${describeIdle(one, configuration)}`);
}
