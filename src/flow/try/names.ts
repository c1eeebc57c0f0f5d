// The multipliers that a user names: generators and files as they are, patterns as the files that they match. A name
// that leads nowhere stays in the list with its reason, so that it does not end the rest.

import { existsSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { globSync } from 'tinyglobby';
import { isGeneratorSpec } from '../../netlist/generators/registry.ts';

export interface NamedSource {
  readonly name: string;
  /** Why nothing can be loaded. */
  readonly reason?: string;
}

/** Each source once, in the order in which they were named; the files of a pattern by their names. */
export function expandNames(names: readonly string[]): readonly NamedSource[] {
  const found = names.flatMap((name): readonly NamedSource[] => {
    if (isGeneratorSpec(name) || existsSync(name) || !/[*?[{(]/.test(name)) return [{ name }];
    const files = globSync(name, { expandDirectories: false, absolute: isAbsolute(name) }).sort();
    if (files.length > 0) return files.map((file) => ({ name: file }));
    return [{ name, reason: `${name} matches no file` }];
  });
  const identity = ({ name }: NamedSource) => (isGeneratorSpec(name) ? name : resolve(name));
  return [...new Map(found.map((source) => [identity(source), source])).values()];
}
