// What --device cuda:ranks makes of a command before it begins: rank 0 does it as ever, once all ranks are here; any
// other rank does nothing of it, neither reads nor writes, but works for rank 0 until that has ended.
// Invariant: no signal ends a rank that rank 0 needs for saving. Whatever stops a job tells all of its ranks, and some
// tell them twice; what it means is decided by rank 0, and its end is that of all.

import type { Command } from 'commander';
import type { RankPlace } from '../flow/devices/environment.ts';
import type { World } from '../flow/devices/world.ts';
import type { DeviceOptions } from '../flow/run/device.ts';
import { Exit, Interrupted } from './failure.ts';
import { onSignals } from './interrupt.ts';
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
  const { WORLD_VARIABLE, World } = await import('../flow/devices/world.ts');
  if (place.rank > 0) {
    throw new Exit((await serve(place, words, (text) => void stderr.write(`tram: ${text}\n`))) ? 0 : 1);
  }
  if (place.ranks === 1) return undefined;
  const world = await World.host(place, words);
  process.env[WORLD_VARIABLE] = world.address;
  return world;
}

/** The life of another rank, which signals end only while it waits for rank 0. */
async function serve(place: RankPlace, words: readonly string[], tell: (text: string) => void): Promise<boolean> {
  const { serveRank } = await import('../flow/devices/world.ts');
  const waiting = new AbortController();
  let [isMet, isTold] = [false, false];
  let code: number | undefined;
  const dispose = onSignals((_, itsCode) => {
    code ??= itsCode;
    if (!isMet) waiting.abort();
    else if (!isTold) tell('rank 0 saves and ends, and this rank with it');
    isTold = isMet;
  });
  const onMet = () => {
    isMet = true;
  };
  try {
    return await serveRank(place, { words, tell, onMet, signal: waiting.signal });
  } catch (error) {
    if (code === undefined || error !== waiting.signal.reason) throw error;
    throw new Interrupted(`rank ${place.rank} was stopped while it waited for rank 0`, code);
  } finally {
    // What comes later must not end it by a signal: the process is about to say how rank 0 ended.
    if (!isMet) dispose();
  }
}
