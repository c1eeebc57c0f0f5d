// The server of `tram serve`: the page, what its addresses return as JSON, files of runs, and events while they work.
// It reads; only what `control` is given can change anything. Every request is checked before it is looked at: method,
// size, Host, token (access.ts). Invariant: a refused request is answered by a status and one line, and tells nothing
// of what lies outside the served folder.

import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { z } from 'zod';
import type { runFlow } from '../flow/flow.ts';
import { describeIssues } from '../flow/settings/config.ts';
import { invariant, UserError } from '../tensor/errors.ts';
import { hostIn, isFromHere, isLoopback, isSame, namesOf, newToken, tokenIn } from './access.ts';
import { type Answering, answers, isAddress, textIn } from './answers.ts';
import type { Orders, Query, ServerEvent } from './api.ts';
import { Control, namedSchema, planSchema } from './control.ts';
import { droppedMultiplier, MOST_DROPPED } from './explore.ts';
import { servedFile } from './files.ts';
import { Library, NotFound, type Pace } from './library.ts';
import { pageFolder } from './page-files.ts';

export interface ServeOptions {
  /** A folder with runs and sweeps anywhere in it, or a run or a sweep. */
  readonly folder: string;
  /** Default: 127.0.0.1. Anything but this machine's own names needs a token. */
  readonly host?: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Needed of every request; made where one is necessary and none given. */
  readonly token?: string;
  /** With it runs can be started, stopped and resumed, which always needs a token: it does the work of a run. */
  readonly perform?: typeof runFlow;
  /** How often the folder is looked at. */
  readonly pace?: Pace;
}

export interface Serving {
  /** What to open: with the token, where one is needed. */
  readonly url: string;
  readonly port: number;
  readonly token: string | undefined;
  readonly library: Library;
  close(): Promise<void>;
}

const LONGEST_ADDRESS = 4096;
/** Bytes of a POST. */
const LARGEST_BODY = 65_536;
const MOST_LISTENERS = 64;
const MOST_CONNECTIONS = 512;
/** Bytes that a page may be behind with its events before it is cut off; it comes again and asks for everything. */
const MOST_BEHIND = 16 << 20;
const HEARTBEAT = 15_000;

/** Nothing but what this server gives, no scripts and styles in the page's text, in no foreign frame. */
const POLICY = [
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'",
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
].join('; ');
/** A report or a picture of a run: shown, and able to do nothing. */
const FILE_POLICY =
  "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

const common: Readonly<Record<string, string>> = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

const pageTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** What a request is refused with. */
class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Starts to serve; a UserError says what is in the way. */
export async function serve({ folder, host = '127.0.0.1', port, perform, ...options }: ServeOptions): Promise<Serving> {
  if (!existsSync(folder)) throw new UserError(`${folder} is not there; give a folder that holds runs or sweeps`);
  if (!statSync(folder).isDirectory()) throw new UserError(`${folder} is a file; a folder of runs was expected`);
  const library = new Library(folder, options.pace);
  const token = options.token ?? (isLoopback(host) && !perform ? undefined : newToken());
  const control = perform && new Control({ folder, library, perform });
  const name = basename(library.root) || library.root;
  const facts = control ? { name, control: true, secret: newToken() } : { name, control: false };
  const door = new Door({ library, folder: facts, control }, host, token);
  await listening(door.server, host, port);
  door.server.on('error', () => {});
  await library.open();
  const bound = (door.server.address() as AddressInfo).port;
  door.cookie = `tram-${bound}`;
  const shown = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return {
    url: `http://${shown}:${bound}/${token === undefined ? '' : `?token=${token}`}`,
    ...{ port: bound, token, library },
    async close() {
      await control?.close();
      library.close();
      await door.close();
    },
  };
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((done, fail) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reasons: Readonly<Record<string, string>> = {
        EADDRINUSE: `port ${port} of ${host} is taken; choose another with --port, or --port 0 for any that is free`,
        EACCES: `port ${port} may not be used by this user; choose one from 1024 on with --port`,
        EADDRNOTAVAIL: `${host} is no address of this machine; --host takes one of its own, or 0.0.0.0 for all`,
        ENOTFOUND: `--host: no address is known of '${host}'`,
      };
      fail(new UserError(reasons[error.code ?? ''] ?? `cannot serve at ${host}:${port}: ${error.message}`));
    });
    server.listen(port, host, done);
  });
}

/** What can be ordered by POST. */
const orders: Readonly<Record<keyof Orders, (control: Control, body: unknown) => unknown>> = {
  command: (control, body) => control.plan(checked(planSchema, body)),
  start: (control, body) => control.start(checked(planSchema, body)),
  stop: (control, body) => control.stop(checked(namedSchema, body).name),
  resume: (control, body) => control.resume(checked(namedSchema, body).name),
};

const isOrder = (name: string): name is keyof Orders => Object.hasOwn(orders, name);

function checked<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new UserError(`the request: ${describeIssues(parsed.error)}`);
}

async function jsonOf(request: IncomingMessage): Promise<unknown> {
  const body = await bodyOf(request, LARGEST_BODY);
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new Refused(400, 'the request is not valid JSON');
  }
}

/** Where requests come in. */
class Door {
  readonly server: Server;
  /** Its own for each port: cookies do not tell ports apart. */
  cookie = 'tram';
  readonly #served: Answering;
  readonly #names: ReadonlySet<string>;
  readonly #token: string | undefined;
  readonly #session = newToken();
  readonly #listeners = new Set<ServerResponse>();
  readonly #heart: NodeJS.Timeout;

  constructor(served: Answering, host: string, token: string | undefined) {
    this.#served = served;
    this.#names = namesOf(host);
    this.#token = token;
    this.server = createServer({ maxHeaderSize: 16_384, requestTimeout: 20_000 }, (request, response) => {
      void this.#answer(request, response);
    });
    this.server.maxConnections = MOST_CONNECTIONS;
    served.library.listen((event) => this.#tell(event));
    this.#heart = setInterval(() => this.#send(': still here\n\n'), HEARTBEAT).unref();
  }

  close(): Promise<void> {
    clearInterval(this.#heart);
    const closed = new Promise<void>((done) => this.server.close(() => done()));
    this.server.closeAllConnections();
    return closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(common)) response.setHeader(name, value);
    response.setHeader('Content-Security-Policy', POLICY);
    try {
      await this.#route(request, response);
    } catch (error) {
      const [status, message] = refusalOf(error, this.#served.library);
      if (response.headersSent) response.destroy();
      else this.#json(response, status, { error: message });
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: address = '', headers } = request;
    const { control } = this.#served;
    const isInspection = method === 'POST' && address.startsWith('/api/inspect?');
    if (method !== 'GET' && method !== 'HEAD' && !isInspection && !(method === 'POST' && control)) {
      response.setHeader('Allow', control ? 'GET, HEAD, POST' : 'GET, HEAD');
      throw new Refused(405, 'this server only reads; start it with --control to change anything');
    }
    if (address.length > LONGEST_ADDRESS)
      throw new Refused(414, `an address has at most ${LONGEST_ADDRESS} characters`);
    const host = hostIn(headers.host);
    if (host === undefined || !this.#names.has(host)) throw new Refused(421, 'the Host header names another server');
    const url = parsed(address);
    if (this.#token !== undefined && !isSame(tokenIn(request, this.cookie), this.#token)) {
      this.#letIn(url, response);
      return;
    }
    const path = decoded(url.pathname);
    if (isInspection) await this.#inspect(request, url, response);
    else if (method === 'POST') await this.#order(path, request, response);
    else if (path === '/api/events') this.#listen(request, response);
    else if (path.startsWith('/api/')) await this.#api(path.slice('/api/'.length), url, response);
    else if (path.startsWith('/file/')) this.#file(path.slice('/file/'.length), response, method === 'HEAD');
    else this.#page(path, response);
  }

  /** With the token in the address: keeps it as a cookie, and the address without it is what the page then has. */
  #letIn(url: URL, response: ServerResponse): void {
    if (url.pathname !== '/' || !isSame(url.searchParams.get('token') ?? undefined, this.#token!)) {
      throw new Refused(401, 'a token is needed; open the address that tram serve has printed');
    }
    const cookie = `${this.cookie}=${this.#token}; HttpOnly; SameSite=Strict; Path=/`;
    response.writeHead(303, { 'Set-Cookie': cookie, Location: '/' }).end();
  }

  async #api(name: string, url: URL, response: ServerResponse): Promise<void> {
    if (!isAddress(name)) throw new Refused(404, 'there is no such address');
    const query: Query = Object.fromEntries(url.searchParams);
    this.#json(response, 200, await answers[name](this.#served, query));
  }

  /** Something is to be changed: only by a page of this server, or by a program that has its secret. */
  async #order(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { control, folder } = this.#served;
    const name = path.slice('/api/'.length);
    if (!control || !path.startsWith('/api/') || !isOrder(name)) throw new Refused(404, 'there is no such address');
    if (!isFromHere(request)) throw new Refused(403, 'the request comes from a page of another server');
    const secret = request.headers['x-tram-secret'];
    if (!isSame(typeof secret === 'string' ? secret : undefined, folder.secret!)) {
      throw new Refused(403, 'the header X-Tram-Secret is not that of this server; load the page again');
    }
    if (request.headers['content-type']?.split(';')[0]?.trim() !== 'application/json') {
      throw new Refused(415, 'expected application/json');
    }
    this.#json(response, 200, orders[name](control, await jsonOf(request)));
  }

  /** A file that was dropped on the page: read, told, and forgotten. It changes nothing and needs no control. */
  async #inspect(request: IncomingMessage, { searchParams }: URL, response: ServerResponse): Promise<void> {
    if (!isFromHere(request)) throw new Refused(403, 'the request comes from a page of another server');
    // A form of another site cannot send this type without asking first, which is not granted.
    if (request.headers['content-type'] !== 'application/octet-stream') {
      throw new Refused(415, 'a file is sent as application/octet-stream');
    }
    const query: Query = Object.fromEntries(searchParams);
    const file = textIn(query, 'file');
    const bytes = await bodyOf(request, MOST_DROPPED);
    // A file that cannot be read is an answer, not a request that went wrong: a browser would call that an error.
    const found = droppedMultiplier(file, bytes, query.signed === '1').catch((error: unknown) => {
      if (!(error instanceof UserError)) throw error;
      return { error: error.message };
    });
    this.#json(response, 200, await found);
  }

  #json(response: ServerResponse, status: number, value: unknown): void {
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
  }

  #file(path: string, response: ServerResponse, isHead: boolean): void {
    const file = servedFile(this.#served.library, path);
    response.writeHead(200, {
      ...{ 'Content-Type': file.type, 'Content-Length': file.bytes, 'Content-Security-Policy': FILE_POLICY },
    });
    if (isHead) response.end();
    else if (file.bytes === 0) response.end();
    // A file that grows meanwhile is given as long as it was.
    else
      createReadStream(file.path, { end: file.bytes - 1 })
        .on('error', () => response.destroy())
        .pipe(response);
  }

  #page(path: string, response: ServerResponse): void {
    invariant(pageFolder, 'the page is not built; run npm run build');
    const name = path === '/' ? 'index.html' : path.slice(1);
    const type = pageTypes[extname(name)];
    const file = new URL(name, pageFolder);
    if (!type || !/^[\w-]+\.\w+$/.test(name) || !existsSync(file)) throw new Refused(404, 'there is no such page');
    response.writeHead(200, { 'Content-Type': type }).end(readFileSync(fileURLToPath(file)));
  }

  #listen(request: IncomingMessage, response: ServerResponse): void {
    if (this.#listeners.size >= MOST_LISTENERS) throw new Refused(503, `${MOST_LISTENERS} pages listen already`);
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write(eventText({ kind: 'hello', session: this.#session }));
    this.#listeners.add(response);
    request.on('close', () => this.#listeners.delete(response));
  }

  #tell(event: ServerEvent): void {
    if (this.#listeners.size > 0) this.#send(eventText(event));
  }

  #send(text: string): void {
    for (const response of this.#listeners) {
      if (response.writableLength > MOST_BEHIND) response.destroy();
      else response.write(text);
    }
  }
}

/** What a request brings, of at most so many bytes. */
async function bodyOf(request: IncomingMessage, most: number): Promise<Buffer> {
  const tooLarge = () => new Refused(413, `at most ${most} bytes are taken`);
  if (Number(request.headers['content-length'] ?? 0) > most) throw tooLarge();
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > most) throw tooLarge();
    parts.push(part);
  }
  return Buffer.concat(parts);
}

const eventText = (event: ServerEvent): string => `data: ${JSON.stringify(event)}\n\n`;

function parsed(address: string): URL {
  // The path as it was sent: a URL takes `..` away, which a file's name is to be refused for.
  if (!address.startsWith('/') || address.startsWith('//')) throw new Refused(400, 'the address is no path');
  try {
    return new URL(address, 'http://here');
  } catch {
    throw new Refused(400, 'the address cannot be read');
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new Refused(400, 'the address cannot be read');
  }
}

function refusalOf(error: unknown, library: Library): readonly [status: number, message: string] {
  if (error instanceof Refused) return [error.status, error.message];
  if (error instanceof NotFound) return [404, error.message];
  if (error instanceof UserError) return [400, library.withoutPaths(error)];
  return [500, `internal: ${library.withoutPaths(error)}`];
}
