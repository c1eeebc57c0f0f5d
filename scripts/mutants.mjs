// Applies faults of one line each to src/, one at a time in a copy of the project, and runs the tests that import the file, the nearest
// first: every fault must make one fail. Not part of the tests: it takes long.
//   npm run test:mutants -- [PART OF A FILE NAME OR TITLE]…
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { mutants } from '../test/mutants.mjs';

const root = resolve(import.meta.dirname, '..');
const wanted = process.argv.slice(2);
const chosen = mutants.filter(
  ({ file, title }) => wanted.length === 0 || wanted.some((part) => file.includes(part) || title.includes(part)),
);

/** Source and test files by what they import, so that tests can be ordered by their distance from a file. */
function importGraph() {
  const files = ['src', 'test'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(root, folder, name)),
  );
  return new Map(
    files.map((file) => {
      const text = readFileSync(file, 'utf8');
      const targets = [...text.matchAll(/(?:from|import\(|mock\()\s*'(\.[^']+\.ts)'/g)];
      return [file, targets.map(([, target]) => resolve(dirname(file), target))];
    }),
  );
}

/** The test files that import a file, directly or not, in groups by the length of the way: 1, 2, and the rest. */
function testsOf(graph, file) {
  const distance = new Map([[resolve(root, file), 0]]);
  let front = [resolve(root, file)];
  for (let steps = 1; front.length > 0; steps++) {
    const next = [...graph].flatMap(([from, targets]) =>
      !distance.has(from) && targets.some((target) => front.includes(target)) ? [from] : [],
    );
    for (const from of next) distance.set(from, steps);
    front = next;
  }
  const tests = [...distance].filter(([name]) => name.endsWith('.test.ts'));
  const group = (test) => tests.filter(([, steps]) => test(steps)).map(([name]) => relative(root, name));
  return [group((steps) => steps === 1), group((steps) => steps === 2), group((steps) => steps > 2)].filter(
    (names) => names.length > 0,
  );
}

const copy = mkdtempSync(join(tmpdir(), 'tram-mutants-'));
const place = join(copy, 'project');
cpSync(root, place, {
  recursive: true,
  filter: (path) =>
    !/\/(node_modules|\.git|runs)(\/|$)/.test(relative(root, path) === '' ? '' : `/${relative(root, path)}`),
});
symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'));
const graph = importGraph();
let survived = 0;
try {
  for (const { file, title, from, to } of chosen) {
    const path = join(place, file);
    const text = readFileSync(path, 'utf8');
    if (text.split(from).length !== 2) {
      console.log(`STALE     ${file}: ${title}: its line is not there exactly once`);
      survived++;
      continue;
    }
    writeFileSync(
      path,
      text.replace(from, () => to),
    );
    const begun = Date.now();
    let killer;
    for (const tests of testsOf(graph, file)) {
      const { status, stdout } = spawnSync('npx', ['vitest', 'run', '--bail=1', '--reporter=dot', ...tests], {
        cwd: place,
        encoding: 'utf8',
        maxBuffer: 2 ** 28,
        env: { ...process.env, NO_COLOR: '1' },
      });
      if (status === 0) continue;
      killer = /FAIL\s+(.*)/.exec(stdout)?.[1] ?? 'a test file that does not load';
      break;
    }
    writeFileSync(path, text);
    const seconds = Math.round((Date.now() - begun) / 1000);
    if (killer === undefined) survived++;
    console.log(
      `${killer === undefined ? 'SURVIVED' : 'killed  '}  ${file}: ${title} (${seconds} s)${killer === undefined ? '' : `\n            by ${killer}`}`,
    );
  }
} finally {
  rmSync(copy, { recursive: true });
}
console.log(`${chosen.length - survived} of ${chosen.length} faults were killed`);
process.exit(survived === 0 ? 0 : 1);
