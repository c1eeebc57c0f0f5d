// Who may ask the server. Invariants: a name in the Host header that is none of this server's is refused, so that a
// foreign page whose name is turned to this machine reads nothing (DNS rebinding); where a token is set, everything
// but the page's own files needs it, compared in constant time; what changes something needs in addition the secret
// that only a page of this server can have read, JSON as its type, and no foreign Origin.

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { hostname, networkInterfaces } from 'node:os';

const loopback = new Set(['localhost', '127.0.0.1', '::1']);

export const isLoopback = (host: string): boolean => loopback.has(host) || /^127(\.\d{1,3}){3}$/.test(host);

export const newToken = (): string => randomBytes(18).toString('base64url');

/** Equal texts, in a time that does not tell how much of them is. */
export function isSame(given: string | undefined, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(expected));
}

/** The name in a Host header, without port and brackets; undefined where it is none. */
export function hostIn(header: string | undefined): string | undefined {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+))(?::\d{1,5})?$/.exec(header ?? '');
  return (found?.[1] ?? found?.[2])?.toLowerCase();
}

/** The names by which a server that is bound to `host` can be meant. */
export function namesOf(host: string): ReadonlySet<string> {
  if (isLoopback(host)) return new Set([...loopback, host]);
  const addresses = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  return new Set([...loopback, host, hostname(), ...addresses].map((name) => name.toLowerCase()));
}

/** The token that a request brings: as a cookie, or as programs do in the header Authorization. */
export function tokenIn({ headers }: IncomingMessage, cookie: string): string | undefined {
  const bearer = /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1];
  const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim().split('='));
  return bearer ?? pairs.find(([name]) => name === cookie)?.[1];
}

/** Whether a request was sent by a page of this server, or by no page at all. */
export function isFromHere({ headers }: IncomingMessage): boolean {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false;
  return origin === undefined || origin === `http://${host}`;
}
