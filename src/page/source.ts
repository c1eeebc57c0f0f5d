// Where the page has its data from: a server that is asked and tells what is new (live), or a document that holds
// every answer (stored, a view that was exported). Views know this interface alone, so that each works in both.

import { keyOf, type Stored } from '../report/standalone.ts';
import type { Address, Answers, Orders, Query, Refusal, ServerEvent } from '../serve/api.ts';

export { keyOf };

export interface Source {
  readonly isLive: boolean;
  /** The view that a stored source holds, by its address. */
  readonly home?: string;
  /** Whether an answer can be had. */
  holds(address: Address, query?: Query): boolean;
  /** Rejects with an Error whose message is one line for people. */
  get<A extends Address>(address: A, query?: Query): Promise<Answers[A]>;
  /** Has the server change something; `secret` is what `folder` says. Without it on a stored source. */
  readonly order?: <N extends keyof Orders>(
    name: N,
    body: Orders[N]['takes'],
    secret: string,
  ) => Promise<Orders[N]['gives']>;
  /**
   * Tells what is new until the returned function is called; `hello` only where the connection was lost meanwhile, so
   * that everything is to be asked again. A stored source tells nothing.
   */
  listen(listener: (event: ServerEvent) => void): () => void;
  /** Where the browser finds a file of a run, by its path in the served folder; undefined where it is not to be had. */
  file(path: string): string | undefined;
}

export function liveSource(): Source {
  const listeners = new Set<(event: ServerEvent) => void>();
  let heard: Promise<void> | undefined;
  /** Resolves once events come, or are known not to: an answer from before could be old with nobody to tell it. */
  const hear = () => {
    heard ??= new Promise((resolve) => {
      const events = new EventSource('api/events');
      let isBegun = false;
      const begin = () => {
        isBegun = true;
        resolve();
      };
      events.onerror = begin;
      events.onmessage = ({ data }) => {
        const event = JSON.parse(data) as ServerEvent;
        // The first greeting tells nothing: nothing was asked before it. A later one tells that events may have been
        // missed.
        if (isBegun) for (const listener of listeners) listener(event);
        else begin();
      };
    });
    return heard;
  };
  return {
    isLive: true,
    holds: () => true,
    get: (address, query) => hear().then(() => asked(keyOf(address, query))),
    order: (name, body, secret) =>
      asked(name, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-Tram-Secret': secret },
        body: JSON.stringify(body),
      }),
    listen(listener) {
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

export function storedSource({ view, answers, files }: Stored): Source {
  return {
    isLive: false,
    home: view,
    holds: (address, query) => Object.hasOwn(answers, keyOf(address, query)),
    async get<A extends Address>(address: A, query?: Query) {
      const answer = answers[keyOf(address, query)];
      if (answer === undefined) throw new Error('this copy holds what was shown when it was made, and not this');
      return answer as Answers[A];
    },
    listen: () => () => {},
    file: (path) => files[path],
  };
}

/** What this document holds, where it is a copy; else nothing. */
export function storedIn(page: Document): Stored | undefined {
  const element = page.getElementById('stored');
  return element?.textContent ? (JSON.parse(element.textContent) as Stored) : undefined;
}
