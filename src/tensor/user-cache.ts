// Where this user's caches are (XDG Base Directory Specification): what a program may lose at any time at no other cost
// than time.

import { homedir } from 'node:os';
import { join } from 'node:path';

/** The folder of one of our caches; it need not exist. */
export function userCacheFolder(
  name: string,
  variables: Readonly<Record<string, string | undefined>> = process.env,
): string {
  return join(variables.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tram', name);
}
