// Applies faults of one line each to src/, one at a time in a copy of the project, and runs the tests that import the
// file, the nearest first: every fault must make one fail, and the tests that failed must pass without a fault. Kernels
// for WebAssembly are compiled again with the fault; whatever imports the runtime loads them. Not part of the tests: it
// takes long.
//   npm run test:mutants -- [--list FILE] [--steps N] [PART OF A FILE NAME OR TITLE]…
// --list takes the faults from another module than test/mutants.mjs; --steps stops at tests that many imports away.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { optionsOf } from '../bench/options.mjs';

const MINUTES = 20;
const root = resolve(import.meta.dirname, '..');
const { values: options, positionals: wanted } = optionsOf(import.meta.url, {
  allowPositionals: true,
  options: { list: { type: 'string', default: join(root, 'test/mutants.mjs') }, steps: { type: 'string' } },
});
const { mutants } = await import(pathToFileURL(resolve(options.list)).href);
const chosen = mutants.filter(
  ({ file, title }) => wanted.length === 0 || wanted.some((part) => file.includes(part) || title.includes(part)),
);

/** Kernels that are compiled for WebAssembly: no module imports them, this one loads what they became. */
const kernels = 'src/engine/wasm/kernels';
const loader = 'src/engine/wasm/runtime/threads.ts';

/**
 * Source and test files by what they import or load, so that tests can be ordered by their distance from a file.
 */
function importGraph() {
  const files = ['src', 'test'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(root, folder, name)),
  );
  const imports = new Map(
    files.map((file) => {
      const text = readFileSync(file, 'utf8');
      // Kernels name each other without an ending.
      const targets = [...text.matchAll(/(?:from|import\(|mock\()\s*'(\.[^']+?)(?:\.ts)?'/g)];
      return [file, targets.map(([, target]) => resolve(dirname(file), `${target}.ts`))];
    }),
  );
  imports.get(join(root, loader)).push(join(root, kernels, 'index.ts'));
  return imports;
}

/**
 * The test files that import a file, directly or not, in groups by the length of the way; the one that is named, which
 * need not import it, or stands beside it comes before all, and at the same length those of a unit before those of the
 * whole.
 */
function testsOf(graph, file, by) {
  const distance = new Map([[resolve(root, file), 0]]);
  let front = [resolve(root, file)];
  for (let steps = 1; front.length > 0; steps++) {
    const next = [...graph].flatMap(([from, targets]) =>
      !distance.has(from) && targets.some((target) => front.includes(target)) ? [from] : [],
    );
    for (const from of next) distance.set(from, steps);
    front = next;
  }
  const beside = file.replace(/\.ts$/, '.test.ts');
  const groups = new Map(by === undefined ? [] : [[0, [by]]]);
  for (const [name, steps] of distance) {
    const test = relative(root, name);
    if (!test.endsWith('.test.ts') || steps > Number(options.steps ?? Infinity)) continue;
    if (test === by) continue;
    const key = by === undefined && test === beside ? 0 : 2 * steps + (test.startsWith('test/') ? 1 : 0);
    groups.set(key, [...(groups.get(key) ?? []), test]);
  }
  return [...groups.keys()].toSorted((a, b) => a - b).map((key) => groups.get(key));
}

const copy = mkdtempSync(join(tmpdir(), 'tram-mutants-'));
const place = join(copy, 'project');
cpSync(root, place, {
  recursive: true,
  filter: (path) => !/^(node_modules|\.git|runs)(\/|$)/.test(relative(root, path)),
});
symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'));
const graph = importGraph();

const built = join(place, 'dist/engine/wasm/runtime/kernels.wasm');

/** Compiles the kernels of the copy as they stand; whether that succeeded. */
function compileKernels() {
  const options = ['--config', join(kernels, 'asconfig.json'), '--target', 'release', '--outFile', built];
  const asc = join(root, 'node_modules/assemblyscript/bin/asc.js');
  return spawnSync(process.execPath, [asc, join(kernels, 'index.ts'), ...options], { cwd: place }).status === 0;
}

/** The kernels without a fault. */
let sound;

/**
 * What vitest says of the copy as it stands: undefined if all tests pass, else the first that fails. `named`: of tests
 * whose names have this alone.
 */
function firstFailure(tests, { timeout, bail = true, named }) {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const only = named === undefined ? [] : ['-t', named.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')];
  const flags = ['--reporter=dot', '--maxWorkers=1', ...(bail ? ['--bail=1'] : []), ...only];
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [vitest, 'run', ...flags, ...tests], {
    cwd: place,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    timeout,
    killSignal: 'SIGKILL',
    env: { ...process.env, NO_COLOR: '1' },
  });
  if (status === 0) return undefined;
  if (error) return { late: true };
  // Behind the name of a project, where there are several: FAIL  |alone| test/…
  return { name: /FAIL\s+(?:\|[^|]*\|\s+)?(.*)/.exec(stdout + stderr)?.[1] ?? 'a test file that does not load' };
}

let killed = 0;
const killers = new Set();
try {
  for (const [at, { file, title, from, to, by }] of chosen.entries()) {
    const path = join(place, file);
    const text = readFileSync(path, 'utf8');
    const say = (verdict, more) =>
      console.log(`${`${at + 1}/${chosen.length}`.padStart(7)}  ${verdict}  ${file}: ${title}${more}`);
    if (text.split(from).length !== 2) {
      say('STALE   ', ': its line is not there exactly once');
      continue;
    }
    const ofKernels = file.startsWith(kernels);
    if (ofKernels && sound === undefined) {
      if (!compileKernels()) throw new Error('the kernels do not compile without a fault');
      sound = readFileSync(built);
    }
    writeFileSync(
      path,
      text.replace(from, () => to),
    );
    const begun = Date.now();
    const [first, named] = by?.split(' > ') ?? [];
    const groups = testsOf(graph, file, first);
    const compiles = !ofKernels || compileKernels();
    let failure;
    for (const tests of compiles ? groups : []) {
      const timeout = Math.max(1, begun + MINUTES * 60_000 - Date.now());
      failure = firstFailure(tests, { timeout, ...(tests[0] === first ? { named } : {}) });
      if (failure) break;
    }
    writeFileSync(path, text);
    if (ofKernels) writeFileSync(built, sound);
    const took = ` (${Math.round((Date.now() - begun) / 1000)} s)`;
    if (!compiles) say('NO BUILD', ': the kernels do not compile with it');
    else if (groups.length === 0) say('NO TEST ', ': no test imports the file, and none is named');
    else if (failure?.late) say('TOO LONG', `: no test failed within ${MINUTES} minutes`);
    else if (!failure) say('SURVIVED', took);
    else {
      killed++;
      killers.add(failure.name.split(' > ')[0].split(' [ ')[0]);
      say('killed  ', `${took}\n                   by ${failure.name}`);
    }
  }
  const broken = killers.size > 0 && firstFailure([...killers], { bail: false });
  if (broken) {
    console.log(`Without a fault fails too: ${broken.name}; what it killed does not count`);
    process.exitCode = 1;
  }
} finally {
  rmSync(copy, { recursive: true });
}
console.log(`${killed} of ${chosen.length} faults were killed`);
if (killed < chosen.length) process.exitCode = 1;
