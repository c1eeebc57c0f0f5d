// The package as people install it: packed, unpacked in an empty project, its examples compiled strictly against its
// declarations and the shortest one run. What its texts link to is in it.

import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const project = mkdtempSync(join(tmpdir(), 'tram-package-'));
const installed = join(project, 'node_modules/tram-axm');
afterAll(() => rmSync(project, { recursive: true }));

beforeAll(() => {
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', project], {
    cwd: root,
    encoding: 'utf8',
  });
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['xzf', join(project, filename), '-C', installed, '--strip-components=1']);
  // Its dependencies, which an installation would fetch.
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
    optionalDependencies: Record<string, string>;
  };
  const libraries = Object.keys({ ...dependencies, ...optionalDependencies });
  for (const name of [...libraries, '@types/node', 'undici-types']) {
    if (!existsSync(join(root, 'node_modules', name))) continue;
    const place = join(project, 'node_modules', name);
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), place);
  }
  writeFileSync(join(project, 'package.json'), '{ "type": "module", "private": true }');
  cpSync(join(installed, 'examples'), join(project, 'examples'), { recursive: true });
  const compilerOptions = {
    ...{ strict: true, target: 'es2022', lib: ['es2023'], module: 'nodenext', moduleResolution: 'nodenext' },
    ...{ types: ['node'], outDir: 'out', exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
  };
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, include: ['examples', 'readme.ts'] }),
  );
});

const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

describe('the packed tarball in an empty project', () => {
  test('its examples and the README’s compile under strict', () => {
    const [, example] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(installed, 'README.md'), 'utf8'))!;
    writeFileSync(join(project, 'readme.ts'), example!);
    const examples = readdirSync(join(installed, 'examples')).filter((name) => name.endsWith('.ts'));
    expect(examples.length).toBeGreaterThanOrEqual(3);
    let output = '';
    try {
      run(process.execPath, join(root, 'node_modules/typescript/bin/tsc'), '-p', '.');
    } catch (error) {
      output = (error as { stdout: string }).stdout;
    }
    expect(output).toBe('');
  });

  test('an example maps θ, proves the netlist and draws it', () => {
    const output = run(process.execPath, 'out/examples/theta-to-netlist.js');
    expect(output).toMatch(/proved over 4096 pairs/);
    expect(readFileSync(join(project, 'multiplier/multiplier-dots.svg'), 'utf8')).toMatch(/^<svg /);
  });

  test('an example compares multipliers, finds where two differ and draws one', () => {
    const output = run(process.execPath, 'out/examples/workbench.js');
    expect(output).toMatch(/^truncated:6x6:columns=4 +6x6 +0\.\d{4} /m);
    // The four lowest columns: 1, 2, 3 and 4 products of weight 1, 2, 4, 8, each 1 for a quarter of the pairs.
    expect(output).toContain('mean error -12.25 over 4096 pairs');
    expect(output).toMatch(/^different at \d+ × \d+$/m);
    expect(readFileSync(join(project, 'workbench/truncated-6x6-columns-4-dots.svg'), 'utf8')).toMatch(/^<svg /);
  });

  test('the command works from there', () => {
    const main = join(installed, 'dist/cli/main.js');
    expect(JSON.parse(run(process.execPath, main, 'simulate', 'dadda:4x4', '--json')).errorRate).toBe(0);
  });

  test('every relative link of its texts leads to a file in it', () => {
    const texts = ['README.md', 'CHANGELOG.md', ...readdirSync(join(installed, 'docs')).map((name) => `docs/${name}`)];
    for (const text of texts.filter((name) => name.endsWith('.md'))) {
      const links = [...readFileSync(join(installed, text), 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)];
      for (const [, link] of links) {
        expect(existsSync(join(installed, dirname(text), link!)), `${text} → ${link}`).toBe(true);
      }
    }
  });

  test('what an editor shows says layouts and units', () => {
    const declarations = (name: string) => readFileSync(join(installed, 'dist', name), 'utf8');
    expect(declarations('multiplier/table.d.ts')).toMatch(/w · 2\^activationBits \+ x[\s\S]*readonly data: Int32Array/);
    expect(declarations('flow/settings/settings.d.ts')).toMatch(
      /Weight of the power loss(?:(?!\*\/)[\s\S])*\*\/\s*lambda\?/,
    );
    expect(declarations('data/memory.d.ts')).toMatch(/\[count, height, width, channels\][^\n]*\n\s*readonly images/);
    expect(declarations('nn/layers.d.ts')).toMatch(/\[N, ?H, ?W, ?C\]/);
  });

  test('each function, class and list that is exported has a word about it', () => {
    const index = readFileSync(join(installed, 'dist/index.d.ts'), 'utf8');
    const exported = [...index.matchAll(/^export \{([^}]*)\} from '\.\/(.*)\.ts'/gm)].flatMap(([, names, module]) =>
      names!.split(',').map((name) => ({ name: name.trim(), module: module! })),
    );
    const values = exported.filter(({ name }) => name !== '' && !name.startsWith('type '));
    expect(values.length).toBeGreaterThan(50);
    const silent = values.filter(({ name, module }) => {
      const declarations = readFileSync(join(installed, `dist/${module}.d.ts`), 'utf8');
      return !new RegExp(`\\*/\\nexport (declare )?(async )?(function|class|const) ${name}\\b`).test(declarations);
    });
    expect(silent.map(({ name }) => name)).toEqual([]);
  });

  test('a sweep is driven from a program, and typed: planned, worked on, looked at, told to logs', () => {
    writeFileSync(
      join(project, 'examples/driving.ts'),
      `import { exportLogs, parseAxis, planSweep, statusOf, UserError, workOnSweep } from 'tram-axm';
import type { JobStatus, LogOptions, LogsExported, SweepPlan, SweepStatus, WorkerOptions, WorkerReport } from 'tram-axm';
const folder = 'sweep';
const plan: SweepPlan = await planSweep({
  folder,
  plan: { settings: { data: 'images:no-such-folder' }, over: [parseAxis('lambda=0.3,1')] },
});
console.log('planned', plan.trials.map(({ name }) => name).join());
const worker: WorkerOptions = { folder, trials: 1, synthesis: null, listener: ({ kind }) => console.log(kind) };
const { done, left }: WorkerReport = await workOnSweep(worker);
console.log({ done, left });
const status: SweepStatus = await statusOf(folder, { watch: 0 });
const stands = ({ job, state }: JobStatus): string => \`\${job}: \${state}\`;
console.log(status.jobs.map(stands).join('\\n'));
try {
  const logs: LogOptions = { tensorboard: true };
  const told: LogsExported = await exportLogs('no-run', logs);
  console.log(told.events);
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.log('refused:', error.message);
}
`,
    );
    run(process.execPath, join(root, 'node_modules/typescript/bin/tsc'), '-p', '.');
    const said = run(process.execPath, 'out/examples/driving.js');
    expect(said).toMatch(/^planned lambda0\.3,lambda1\nplan\nbegin\nfailed\n[\s\S]*\{ done: 0, left: 0 \}\n/);
    // What failed before it began is for the next worker.
    expect(said).toMatch(/^shared\/quantize-\w+: waiting\ntrials\/lambda0\.3: waiting\ntrials\/lambda1: waiting$/m);
    expect(said).toMatch(/^refused: no-run is not a run folder/m);
  });

  test('multipliers are tried from a program, and typed', () => {
    writeFileSync(
      join(project, 'examples/trying.ts'),
      `import { lastResult, tryMultipliers, tryPicture, type TryEvent, type TryOptions, UserError } from 'tram-axm';
const events: TryEvent[] = [];
const options: TryOptions = {
  ...{ run: 'no-run', multipliers: ['drum:8x8:bits=4'], exact: [{ weights: 4, activations: 4 }] },
  listener: (event) => events.push(event),
};
try {
  const report = await tryMultipliers(options);
  for (const one of report.multipliers) console.log(one.name, one.gateCost, lastResult(one).accuracy);
  console.log(await tryPicture(report));
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.log('refused:', error.message);
}
`,
    );
    run(process.execPath, join(root, 'node_modules/typescript/bin/tsc'), '-p', '.');
    expect(run(process.execPath, 'out/examples/trying.js')).toMatch(/^refused: .*no-run/);
  });
});
