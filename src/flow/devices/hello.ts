// What ranks say of themselves when they meet, and what of it must fit. All ranks compute the same graphs on their part
// of a batch, and what is not split they compute each for itself: with unlike devices or programs they would drift
// apart without a word, so they are refused here, by name.

import { z } from 'zod';
import { version } from '../../version.ts';

/** Changes with what is said here or later on the same connection. */
export const RENDEZVOUS = 1;

export const helloSchema = z.object({
  version: z.string(),
  rendezvous: z.int(),
  ranks: z.int(),
  rank: z.int(),
  localRank: z.int(),
  host: z.string(),
  pid: z.int(),
  /** The command line, where each rank was started with one of its own. */
  words: z.array(z.string()).optional(),
  /** What the rank computes on, where it is known already. */
  device: z
    .object({ name: z.string(), model: z.string(), description: z.string(), memoryBytes: z.number() })
    .optional(),
  precision: z.string().optional(),
});
export type Hello = z.output<typeof helloSchema>;

/** The part that is the same for every rank of this program. */
export const program = { version, rendezvous: RENDEZVOUS } as const;

/** "rank 1 on node7 (NVIDIA H100, GPU 1 …)": how a rank is called in messages. */
export function nameOfRank({ rank, host, device }: Pick<Hello, 'rank' | 'host' | 'device'>): string {
  return `rank ${rank} on ${host}${device ? ` (${device.model})` : ''}`;
}

/** Why a rank cannot work with rank 0, and what to do; undefined where it fits. */
export function misfit(leader: Hello, other: Hello): string | undefined {
  const differ = (what: string, own: unknown, theirs: unknown, advice: string) =>
    own === theirs ? undefined : `${what} is ${theirs}, that of rank 0 on ${leader.host} is ${own}; ${advice}`;
  const once = 'start all ranks with one command';
  return (
    differ('its version of the program', leader.version, other.version, 'install the same on all hosts') ??
    differ('its rendezvous protocol', leader.rendezvous, other.rendezvous, 'install the same program on all hosts') ??
    differ('its number of ranks', leader.ranks, other.ranks, once) ??
    (other.rank >= 1 && other.rank < leader.ranks
      ? undefined
      : `ranks are expected from 1 to ${leader.ranks - 1}; ${once}`) ??
    (leader.words && other.words && differingWords(leader.words, other.words)) ??
    differ('its --precision', leader.precision, other.precision, once) ??
    (leader.device && other.device && unlikeDevice(leader.device, other.device))
  );
}

type Facts = NonNullable<Hello['device']>;

function unlikeDevice(own: Facts, theirs: Facts): string | undefined {
  if (own.name === theirs.name && own.model === theirs.model) return undefined;
  return `its device is ${theirs.model}, that of rank 0 is ${own.model}: unlike devices round differently and would not stay equal; use devices of one kind`;
}

/** What is worth saying of ranks that fit: memory, of which the smallest decides. */
export function oddity(leader: Hello, other: Hello): string | undefined {
  if (!leader.device || !other.device || leader.device.memoryBytes === other.device.memoryBytes) return undefined;
  const gib = ({ memoryBytes }: Facts) => `${(memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  return `${nameOfRank(other)} has ${gib(other.device)} of memory, rank 0 has ${gib(leader.device)}; the smaller one decides what fits`;
}

/** Options that say how much is printed, which each rank may have its own way. */
const SILENT = ['--quiet', '--json', '--verbose', '--no-color'];

function differingWords(own: readonly string[], theirs: readonly string[]): string | undefined {
  const [mine, other] = [optionsOf(own), optionsOf(theirs)];
  for (const name of new Set([...mine.keys(), ...other.keys()])) {
    const [a, b] = [mine.get(name), other.get(name)];
    if (a === b) continue;
    const told = (text: string | undefined) => (text === undefined ? 'nothing of it' : `'${text}'`);
    const what = name === '' ? 'its command' : `its ${name}`;
    return `${what} says ${told(b)}, that of rank 0 ${told(a)}; start all ranks with one command`;
  }
  return undefined;
}

/** Options with what stands behind them, whatever their order; under '' the words in front of them. */
function optionsOf(words: readonly string[]): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  let name = '';
  for (const word of words) {
    const [, long, value] = /^(--[^=]+)(?:=([\s\S]*))?$/.exec(word) ?? [];
    if (long !== undefined) name = long;
    if (SILENT.includes(name)) {
      if (long === undefined) options.set('', joined(options.get(''), word));
      continue;
    }
    options.set(name, joined(options.get(name), long === undefined ? word : (value ?? '')));
  }
  return options;
}

const joined = (before: string | undefined, word: string): string => (before ? `${before} ${word}` : word);
