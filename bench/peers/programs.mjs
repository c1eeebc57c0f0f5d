// The other programs of bench/peers.mjs as processes: PyTorch's scripts beside this file, whose lines of JSON are
// results, and builds of sources that the user has fetched, in copies (nothing is written into the user's folders,
// and nothing of theirs is kept). What a process says for people goes to a log; its last lines come with an error.

import { spawn } from 'node:child_process';
import { cpSync, createWriteStream, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Where the sources are, the state that this bench was written for, and what of it is needed. */
export const sources = {
  approxtorch: {
    url: 'https://github.com/woshimark666/ApproxTorch',
    commit: 'b3c1854',
    parts: ['approxtorch', 'setup.py'],
  },
  published: {
    url: 'https://github.com/changmg/TRAM',
    commit: 'f2e22a8',
    parts: ['conf', 'models', 'quant', 'self_ops', 'utils/common.py', 'setup.py'],
  },
};

/** How to get a program's sources, for those who gave none. */
export const howToGet = (name) => {
  const { url, commit, parts } = sources[name];
  return `git clone ${url} DIR && git -C DIR checkout ${commit}, then --${name} DIR (of it are read: ${parts.join(', ')})`;
};

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * Runs a program to its end: the objects of those of its lines that are JSON. An error says how it ended, behind which
 * result, and what it said last for people; so does that of one which takes more than `limit` seconds.
 */
export async function run(command, words, { cwd, env = {}, log, limit }) {
  const child = spawn(command, words, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const file = createWriteStream(log);
  const last = [];
  const found = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      file.write(`${line}\n`);
      if (stream === child.stdout && line.startsWith('{')) found.push(JSON.parse(line));
      else last.push(line);
      if (last.length > 6) last.shift();
    });
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), 1000 * Math.max(1, limit));
  const [code, signal] = await new Promise((settle) => {
    child.on('error', (problem) => settle([String(problem), null]));
    child.on('close', (...ended) => settle(ended));
  });
  clearTimeout(timer);
  running.delete(child);
  file.end();
  if (code === 0) return found;
  const how = signal ? `stopped after ${limit.toFixed(0)} s` : `ended with ${code}`;
  const result = found.findLast(({ settings, prepared }) => settings ?? prepared);
  const behind = result ? `, behind ${result.settings ?? result.prepared}` : '';
  const said = last.length > 0 ? `: ${last.join(' | ').slice(-600)}` : '';
  const problem = new Error(`${how}${behind}${said} (${log})`);
  throw Object.assign(problem, { found });
}

/**
 * Builds a program's extension in a copy of its sources below `place`, once; the copy's folder. The published program
 * includes a header that CUDA 13 no longer has, and uses nothing of it: an empty one stands in.
 */
export async function build(name, folder, { place, python, limit, jobs = Math.max(1, cpus().length - 1) }) {
  const copy = join(place, name);
  const isBuilt = join(copy, 'built');
  if (existsSync(isBuilt)) return copy;
  for (const part of sources[name].parts) {
    if (!existsSync(join(folder, part))) throw new Error(`${folder} has no ${part}; ${howToGet(name)}`);
    cpSync(join(folder, part), join(copy, part), { recursive: true });
  }
  const include = join(place, 'include');
  mkdirSync(include, { recursive: true });
  writeFileSync(join(include, 'texture_fetch_functions.h'), '#pragma once\n');
  const env = { MAX_JOBS: String(jobs), NVCC_APPEND_FLAGS: name === 'published' ? `-I${include}` : '' };
  const words = [join(import.meta.dirname, 'build.py'), 'setup.py', 'build_ext', '--inplace'];
  await run(python, words, { cwd: copy, env, limit, log: join(place, `build-${name}.log`) });
  writeFileSync(isBuilt, '');
  return copy;
}

/** The state of a checkout, where git or its files tell. */
export function commitOf(folder) {
  const head = join(folder, '.git/HEAD');
  if (!existsSync(head)) return undefined;
  const text = readFileSync(head, 'utf8').trim();
  const reference = join(folder, '.git', text.replace(/^ref: /, ''));
  if (!text.startsWith('ref: ')) return text.slice(0, 7);
  return existsSync(reference) ? readFileSync(reference, 'utf8').slice(0, 7) : undefined;
}
