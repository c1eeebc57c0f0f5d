// What --device cuda:ranks makes of a command before it begins: rank 0 does it as ever, once all ranks are here; any
// other rank does nothing of it, neither reads nor writes, but works for rank 0 until that has ended.

import type { Command } from 'commander';
import type { World } from '../flow/devices/world.ts';
import type { DeviceOptions } from '../flow/run/device.ts';
import { Exit } from './failure.ts';
import type { Services } from './services.ts';

/** Rank 0's hold on the others; undefined where the command does not ask for them. Other ranks end here, by an Exit. */
export async function meetRanks(
  command: Command,
  words: readonly string[],
  { stderr }: Pick<Services, 'stderr'>,
): Promise<World | undefined> {
  const { device = [] } = command.opts<{ device?: DeviceOptions | readonly DeviceOptions[] }>();
  if (![device].flat().some(({ devices }) => devices === 'ranks')) return undefined;
  const { rankPlace } = await import('../flow/devices/environment.ts');
  const place = rankPlace(process.env);
  const { serveRank, WORLD_VARIABLE, World } = await import('../flow/devices/world.ts');
  const tell = (text: string) => void stderr.write(`tram: ${text}\n`);
  if (place.rank > 0) throw new Exit((await patiently(() => serveRank(place, { words, tell }), tell)) ? 0 : 1);
  if (place.ranks === 1) return undefined;
  const world = await World.host(place, words);
  process.env[WORLD_VARIABLE] = world.address;
  return world;
}

/**
 * torchrun, scancel and a terminal stop all ranks at once: rank 0 saves, and needs the others for that. A second signal
 * ends this one.
 */
async function patiently<T>(work: () => Promise<T>, tell: (text: string) => void): Promise<T> {
  let asked = false;
  const handlers = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((name) => {
    const handler = () => {
      if (asked) process.exit(1);
      asked = true;
      tell('rank 0 saves and ends, and this rank with it; once more ends this rank at once');
    };
    process.on(name, handler);
    return { name, handler };
  });
  try {
    return await work();
  } finally {
    for (const { name, handler } of handlers) process.off(name, handler);
  }
}
