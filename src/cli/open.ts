// Opens a file with the program that the system has for it: a page in the browser.

import { spawn } from 'node:child_process';

const launchers: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  darwin: ['open'],
  win32: ['rundll32', 'url.dll,FileProtocolHandler'],
};

/** Milliseconds within which a launcher that cannot open anything has said so. */
const PATIENCE = 2000;

/** Resolves to undefined, or to what hindered it, when no program could be started for the file. */
export function openFile(path: string, platform: NodeJS.Platform = process.platform): Promise<string | undefined> {
  const [program = '', ...args] = launchers[platform] ?? ['xdg-open'];
  return new Promise((done) => {
    const child = spawn(program, [...args, path], { stdio: 'ignore', detached: true });
    const settle = (hindrance: string | undefined) => {
      clearTimeout(timer);
      child.unref();
      done(hindrance);
    };
    const timer = setTimeout(() => settle(undefined), PATIENCE);
    child.once('error', ({ code, message }: NodeJS.ErrnoException) =>
      settle(code === 'ENOENT' ? `${program} is not installed` : message),
    );
    child.once('exit', (code) => settle(code ? `${program} ended with code ${code}` : undefined));
  });
}
