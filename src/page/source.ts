// Where the page has its data from: a server that is asked and tells what is new (live), or a document that holds
// every answer (stored, a view that was exported). Views know this interface alone, so that each works in both.

import type { Address, Answers, Orders, Query, Refusal, ServerEvent } from '../serve/api.ts';

export interface Source {
  readonly isLive: boolean;
  /** Rejects with an Error whose message is one line for people. */
  get<A extends Address>(address: A, query?: Query): Promise<Answers[A]>;
  /** Has the server change something; `secret` is what `folder` says. Without it on a stored source. */
  readonly order?: <N extends keyof Orders>(
    name: N,
    body: Orders[N]['takes'],
    secret: string,
  ) => Promise<Orders[N]['gives']>;
  /** Tells what is new until the returned function is called; a stored source tells nothing. */
  listen(listener: (event: ServerEvent) => void): () => void;
  /** Where the browser finds a file of a run, by its path in the served folder; undefined where it is not to be had. */
  file(path: string): string | undefined;
}

/** The answers of a stored source, by `keyOf`; files as data: addresses by their paths. */
export interface Stored {
  readonly answers: Readonly<Record<string, unknown>>;
  readonly files: Readonly<Record<string, string>>;
}

/** What an answer is kept under: `metrics?name=a`. */
export function keyOf(address: Address, query: Query = {}): string {
  const text = new URLSearchParams(Object.entries(query).sort(([a], [b]) => (a < b ? -1 : 1))).toString();
  return text === '' ? address : `${address}?${text}`;
}

export function liveSource(): Source {
  const listeners = new Set<(event: ServerEvent) => void>();
  let events: EventSource | undefined;
  const begin = () => {
    events ??= new EventSource('api/events');
    events.onmessage = ({ data }) => {
      const event = JSON.parse(data) as ServerEvent;
      for (const listener of listeners) listener(event);
    };
  };
  return {
    isLive: true,
    get: (address, query) => asked(keyOf(address, query)),
    order: (name, body, secret) =>
      asked(name, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-Tram-Secret': secret },
        body: JSON.stringify(body),
      }),
    listen(listener) {
      begin();
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    file: (path) => `file/${path.split('/').map(encodeURIComponent).join('/')}`,
  };
}

async function asked(address: string, request?: RequestInit) {
  const response = await fetch(`api/${address}`, request).catch(() => {
    throw new Error('the server does not answer; is tram serve still running?');
  });
  if (response.ok) return response.json();
  const refusal = (await response.json().catch(() => undefined)) as Refusal | undefined;
  throw new Error(refusal?.error ?? `the server answered ${response.status}`);
}

export function storedSource({ answers, files }: Stored): Source {
  return {
    isLive: false,
    async get<A extends Address>(address: A, query?: Query) {
      const answer = answers[keyOf(address, query)];
      if (answer === undefined) throw new Error('this copy of the page does not hold it');
      return answer as Answers[A];
    },
    listen: () => () => {},
    file: (path) => files[path],
  };
}

/** The stored answers of this document, where it has some; else the server that gave it. */
export function sourceOf(page: Document): Source {
  const stored = page.getElementById('stored');
  return stored?.textContent ? storedSource(JSON.parse(stored.textContent) as Stored) : liveSource();
}
