// `tram serve`: a page over a folder of runs and sweeps, live while they work.

import { type Command, Option } from 'commander';
import { badValue, nonEmpty, wholeNumberFrom } from '../../flow/settings/values.ts';
import { writeFileAtomic } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { describeOption } from '../facts.ts';
import { interruptible } from '../interrupt.ts';
import type { Services } from '../services.ts';

const PORT = 7080;
const SHORTEST_TOKEN = 16;

const AFTER = `
The folder may be one of runs and sweeps, at any depth, or a run or a sweep itself. It is looked at and never written; runs that other processes
train are followed as they go. Ctrl-C ends it.

With --control the page can start any run that tram run can, with your rights, and stop and resume those that it has started; they are processes of
their own, which save and stop when the server ends.

With --control, or with another --host than this machine's own names everything needs a token: one is made and printed as part of the address, unless --token or
the environment variable TRAM_TOKEN gives it. What is sent is not encrypted; over a network that others use, ssh -L ${PORT}:localhost:${PORT} is better.

Examples:
  tram serve runs
  tram serve runs --open
  tram serve runs --control
  tram serve runs --export sweep/cheapest --out front.html
`;

interface Options {
  readonly host?: string;
  readonly port?: number;
  readonly token?: string;
  readonly open?: boolean;
  readonly control?: boolean;
  readonly export?: string;
  readonly out?: string;
}

export function defineServe(command: Command, services: Services): void {
  const option = (flags: string, help: string, values?: string, usual?: string) =>
    new Option(flags, describeOption({ help, values, default: usual })).helpGroup('Page:');
  command
    .description('Shows the runs and sweeps of a folder in the browser, live while they train.')
    .argument('[FOLDER]', 'folder of runs and sweeps; default: runs', nonEmpty('FOLDER', 'a folder'))
    .addOption(
      option('--host <NAME>', 'address to serve at', 'an address of this machine', '127.0.0.1').argParser(
        nonEmpty('--host', 'an address of this machine'),
      ),
    )
    .addOption(
      option('--port <N>', 'port to serve at; 0: any that is free', '0 to 65535', String(PORT)).argParser(
        wholeNumberFrom('--port', 0, 65_535),
      ),
    )
    .addOption(
      option(
        '--token <TEXT>',
        'what a browser must know to be let in',
        `${SHORTEST_TOKEN} or more letters, digits, - and _`,
        'made where it is needed',
      ).argParser((text: string) => tokenFrom('--token', text)),
    )
    .addOption(option('--control', 'also start, stop and resume runs from the page; needs a token everywhere'))
    .addOption(option('--open', 'show the page in the browser'))
    .addOption(
      option(
        '--export <VIEW>',
        'write one view as a file that needs no server, and end',
        'multiplier/dadda:8x8, sweep/NAME, network/RUN, …',
      ).argParser(nonEmpty('--export', 'a view such as multiplier/dadda:8x8')),
    )
    .addOption(
      option('--out <FILE>', 'where --export writes', 'a path', 'VIEW.html').argParser(nonEmpty('--out', 'a path')),
    )
    .addHelpText('after', AFTER);
  command.action(async (folder = 'runs') => {
    const options = command.opts<Options>();
    if (options.export === undefined) await show(folder, options, services);
    else await write(folder, options.export, options.out, services);
  });
}

/** One view as a file; its name is that of the view where none is given. */
async function write(folder: string, view: string, out: string | undefined, { stdout }: Services): Promise<void> {
  const { exportFrom } = await import('../../serve/export.ts');
  const path = out ?? `${view.replaceAll(/[^\p{L}\p{N}._+-]+/gu, '-').replace(/^[-.]+/, '')}.html`;
  writeFileAtomic(path, await exportFrom(folder, view));
  stdout.write(`${path}\n`);
}

async function show(
  folder: string,
  { host, port = PORT, open, control, ...said }: Options,
  services: Services,
): Promise<void> {
  const { stdout, stderr } = services;
  const { TRAM_TOKEN } = process.env;
  const token = said.token ?? (TRAM_TOKEN ? tokenFrom('TRAM_TOKEN', TRAM_TOKEN) : undefined);
  const { serve } = await import('../../serve/server.ts');
  const ended = new Promise<void>((done) => {
    const interrupt = interruptible({ onFirst: () => done(), onSecond: () => {} });
    interrupt.signal.addEventListener('abort', () => interrupt.dispose());
  });
  const perform = control ? await performer(services) : undefined;
  const serving = await serve({ folder, port, ...given({ host, token, perform }) });
  stdout.write(`serving ${folder} at ${serving.url} (Ctrl-C ends it)\n`);
  const hindrance = open ? await services.openFile?.(serving.url) : undefined;
  if (hindrance !== undefined) stderr.write(`tram: no browser could be started (${hindrance})\n`);
  await ended;
  await serving.close();
}

async function performer({ loadFlow }: Services) {
  const { runFlow, runFlowAside = runFlow } = await loadFlow();
  return runFlowAside;
}

function tokenFrom(label: string, text: string): string {
  if (/^[\w-]+$/.test(text) && text.length >= SHORTEST_TOKEN) return text;
  throw badValue(label, '…', `${SHORTEST_TOKEN} or more letters, digits, - and _`);
}
