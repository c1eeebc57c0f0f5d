// What the benches compute beside times: the fit of bench/growth.mjs, and the table of bench/peers.mjs, in which a
// ratio is over this program's time of the same network and stage, and nothing that failed is left unsaid. And how
// benches and checks answer --help and what is no option of theirs.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const bench = (name: string) => import(join(import.meta.dirname, '../bench', name));

test('a fit finds the law that made the points, and says where another one is', async () => {
  const { leastSquares } = await bench('growth/fit.mjs');
  const terms = [() => 1, (x: number) => x, (x: number) => x * x];
  const xs = [1, 2, 4, 8, 16];
  const made = leastSquares(
    xs.map((x) => ({ x, ms: 5 + 0.25 * x * x })),
    terms,
  );
  for (const [at, value] of [5, 0, 0.25].entries()) expect(made.coefficients[at]).toBeCloseTo(value, 9);
  expect(made.residual).toBeLessThan(1e-9);
  // A cost that shrinks has no such law: the constant is all that is left of it.
  const bent = leastSquares(
    xs.map((x) => ({ x, ms: x === 8 ? 30 : 10 })),
    [terms[0], (x: number) => -x],
  );
  expect(bent.worst.x).toBe(8);
  expect(bent.coefficients.every((value: number) => value >= 0)).toBe(true);
  expect(bent.residual).toBeGreaterThan(0.2);
});

test('ratios of peers are over the same stage of the same network', async () => {
  const { markdown } = await bench('peers/table.mjs');
  const row = (network: string, stage: string, program: string, ms: number) => ({
    ...{ network, stage, program, settings: 's', ms, best: ms },
  });
  const text: string = markdown({
    machine: { device: 'a GPU', processor: 'a processor', node: 'v20' },
    rows: [
      row('A, batch 64', 'float', 'TRAM', 10),
      row('A, batch 64', '3', 'TRAM', 20),
      row('A, batch 64', '3', 'ApproxTorch', 50),
      row('B, batch 256', 'float', 'TRAM', 40),
      row('B, batch 256', 'float', 'PyTorch', 30),
      row('B, batch 256', '1', 'published program', 99),
    ],
    layers: [],
    problems: [{ what: 'ApproxTorch', reason: 'did not build' }],
    ...{ skipped: [], seconds: 1, command: '' },
  });
  const cells = text.split('\n').flatMap((line) => (line.startsWith('| ') ? [line.split(' | ')] : []));
  const of = (program: string) => cells.find((line) => line[2] === program)!;
  expect(of('ApproxTorch').slice(6, 8)).toEqual(['1280', '2.50']);
  expect(of('PyTorch').slice(6, 8)).toEqual(['8533', '0.75']);
  expect(of('published program')[7]).toBe('–');
  expect(text).toContain('- ApproxTorch: did not build');
});

test('a peer that is stopped or fails tells when, behind which result and what it said, not its results', async () => {
  const { run } = await bench('peers/programs.mjs');
  const log = join(mkdtempSync(join(tmpdir(), 'tram-peers-')), 'log');
  const fails = (script: string, limit: number) =>
    run(process.execPath, ['-e', script], { log, limit }).then(
      () => expect.fail('it ended well'),
      (problem: Error) => problem,
    );
  const row = { stage: 'float', settings: 'bf16, eager', ms: 1.5 };
  const says = `console.error('a warning'); console.log('${JSON.stringify(row)}');`;
  const failed = await fails(`${says} process.exitCode = 3;`, 60);
  expect(failed).toMatchObject({ message: `ended with 3, behind bf16, eager: a warning (${log})`, found: [row] });
  await expect.poll(() => readFileSync(log, 'utf8')).toContain('"ms":1.5');
  const stopped = await fails('setInterval(() => {}, 1000);', 1);
  expect(stopped.message).toBe(`stopped after 1 s (${log})`);
});

describe('options of benches and checks', () => {
  const scripts = ['bench', 'scripts'].flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.mjs') && name !== 'options.mjs')
      .map((name) => `${folder}/${name}`),
  );

  test('are read in one place, by scripts whose opening comment says how they are called', async () => {
    const { openingComment } = await bench('options.mjs');
    const called = scripts.filter((path) => readFileSync(path, 'utf8').includes('optionsOf(import.meta.url'));
    expect(called.length).toBeGreaterThan(15);
    for (const path of scripts) expect(readFileSync(path, 'utf8'), path).not.toContain('parseArgs(');
    for (const path of called)
      expect(openingComment(readFileSync(path, 'utf8')).join('\n'), path).toMatch(
        /(?:npm run test:|node (?:bench|scripts)\/)\S+(?: |$)/,
      );
  });

  test.each([
    ...[
      'bench/cuda-gemm.mjs',
      'bench/cuda-slopes.mjs',
      'bench/cuda-training.mjs',
      'bench/cold.mjs --data digits --model resnet8',
    ],
    ...['bench/depthwise.mjs --device cuda', 'bench/networks.mjs --device cuda', 'scripts/check-replicas.mjs'],
  ])('%s without a GPU: what is missing in one line, and code 2', (call) => {
    const env = { ...process.env, CUDA_VISIBLE_DEVICES: '' };
    const { status, stderr } = spawnSync(process.execPath, call.split(' '), { encoding: 'utf8', env });
    expect(stderr).toMatch(/^[\w-]+\.mjs: .*(driver|GPU).*; .*\n$/);
    expect(status).toBe(2);
  });

  test('help is the comment; a wrong option and a mistake of the user are one line', () => {
    const script = join(mkdtempSync(join(tmpdir(), 'tram-options-')), 'try.mjs');
    const text = `// What it is:\n//   node try.mjs [--n N]\n\nimport { optionsOf } from '${resolve('bench/options.mjs')}';
const { values } = optionsOf(import.meta.url, { options: { n: { type: 'string', default: '1' } } });
if (values.n === '2') throw Object.assign(new Error('no such model'), { name: 'UserError' });
console.log(JSON.stringify(values));\n`;
    writeFileSync(script, text);
    const call = (...words: string[]) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...words], { encoding: 'utf8' });
      return [status, stdout, stderr];
    };
    expect(call('--n', '3')).toEqual([0, '{"n":"3"}\n', '']);
    expect(call('--help')).toEqual([0, 'What it is:\n  node try.mjs [--n N]\n', '']);
    expect(call('--nosuch')).toEqual([2, '', "try.mjs: Unknown option '--nosuch'; --help tells the options\n"]);
    expect(call('--n=2')).toEqual([2, '', 'try.mjs: no such model\n']);
  });
});
