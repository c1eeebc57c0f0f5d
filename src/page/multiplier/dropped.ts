// Files that were dropped on the page: read by the server, kept by nobody but this page while it is open. A source that
// knows them answers for them as for any multiplier, so that every view, and a copy of it, works with them too.

import type { ExploredMultiplier, Refusal } from '../../serve/api.ts';
import type { Source } from '../source.ts';

const PREFIX = 'dropped:';
/** As the server has it (serve/explore.ts); what is larger is not even sent. */
export const MOST_BYTES = 8 << 20;

const dropped = new Map<string, ExploredMultiplier>();

export const isDropped = (of: string): boolean => of.startsWith(PREFIX);

/** What it is called on the page, without the mark that it was dropped. */
export const plainName = (of: string): string => (isDropped(of) ? of.slice(PREFIX.length) : of);

/** The source, with what was dropped on this page. */
export function withDropped(source: Source): Source {
  return {
    ...source,
    async get(address, query) {
      const of = query?.of;
      if (address !== 'multiplier' || of === undefined || !isDropped(of)) {
        return source.get(address, query);
      }
      const found = dropped.get(of);
      if (!found) throw new Error(`${plainName(of)} was dropped on the page and is kept nowhere; drop it again`);
      return found as never;
    },
  };
}

/**
 * Has a file read; the name under which the page then knows it. Rejects with an Error of one line where it cannot be
 * read.
 */
export async function readDropped(file: File, isSigned: boolean): Promise<string> {
  if (file.size > MOST_BYTES) {
    throw new Error(`${file.name}: ${file.size} bytes; a file that is dropped may have ${MOST_BYTES}`);
  }
  const query = new URLSearchParams({ file: file.name, ...(isSigned ? { signed: '1' } : {}) });
  const response = await fetch(`api/inspect?${query}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/octet-stream' },
    body: file,
  }).catch(() => {
    throw new Error('the server does not answer; is tram serve still running?');
  });
  const answer = (await response.json().catch(() => ({ error: `the server answered ${response.status}` }))) as
    | ExploredMultiplier
    | Refusal;
  if ('error' in answer) throw new Error(answer.error);
  const of = `${PREFIX}${file.name}`;
  dropped.set(of, { ...answer, spec: of });
  return of;
}
