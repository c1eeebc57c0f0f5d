// Builds dist/: the TypeScript program, the WebAssembly kernels from AssemblyScript, the page of tram serve as one
// script and one style sheet; the CUDA kernels (compiled at run time) and the fixed part of a PyTorch network as they
// are.
// Everything is made beside it first: a build that fails leaves the program that was there.
// Runs as npm's `prepare`; where the development tools are absent (an install from a package) dist/ is already there.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeRecords } from './wasm-records.mjs';

const bin = (name) => join('node_modules', '.bin', name);
if (!existsSync(bin('tsc'))) {
  if (!existsSync('dist/cli/main.js')) {
    console.error('build: the development dependencies are missing; run `npm ci` (without --omit=dev) first');
    process.exit(1);
  }
  process.exit(0);
}

/** A tool of the development dependencies; what it says of a mistake is enough. */
function run(command, ...args) {
  try {
    execFileSync(bin(command), args, { stdio: 'inherit' });
  } catch (error) {
    console.error(`build: ${command} failed; dist/ is as it was`);
    process.exit(error.status ?? 1);
  }
}

writeRecords();
const made = join('build', 'dist');
rmSync(made, { recursive: true, force: true });
run('tsc', '-p', 'tsconfig.build.json', '--outDir', made);
const kernels = join(made, 'engine/wasm/runtime/kernels.wasm');
mkdirSync(dirname(kernels), { recursive: true });
const assembly = ['src/engine/wasm/kernels/index.ts', '--config', 'src/engine/wasm/kernels/asconfig.json'];
run('asc', ...assembly, '--target', 'release', '--outFile', kernels);
const page = ['src/page/main.tsx', '--bundle', '--format=esm', '--target=es2022', '--minify', '--log-level=warning'];
run('esbuild', ...page, '--jsx=automatic', '--jsx-import-source=preact', `--outdir=${join(made, 'page')}`);
cpSync('src/page/index.html', join(made, 'page/index.html'));
cpSync('src/engine/cuda/kernels', join(made, 'engine/cuda/kernels'), { recursive: true });
cpSync('src/export/pytorch/template.py', join(made, 'export/pytorch/template.py'));
chmodSync(join(made, 'cli/main.js'), 0o755);

const old = join('build', 'dist-before');
rmSync(old, { recursive: true, force: true });
if (existsSync('dist')) renameSync('dist', old);
renameSync(made, 'dist');
rmSync(old, { recursive: true, force: true });
