// Builds dist/: the TypeScript program, the WebAssembly kernels from AssemblyScript, and the CUDA kernels as they are (compiled at run time).
// Runs as npm's `prepare`; where the development tools are absent (an install from a package) dist/ is already there.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeRecords } from './wasm-records.mjs';

const bin = (name) => join('node_modules', '.bin', name);
if (!existsSync(bin('tsc'))) {
  if (!existsSync('dist/cli/main.js')) {
    console.error('build: the development dependencies are missing; run `npm ci` (without --omit=dev) first');
    process.exit(1);
  }
  process.exit(0);
}

const run = (command, ...args) => execFileSync(bin(command), args, { stdio: 'inherit' });

writeRecords();
rmSync('dist', { recursive: true, force: true });
run('tsc', '-p', 'tsconfig.build.json');
const assembly = 'src/engine/wasm/kernels/index.ts';
if (existsSync(assembly)) {
  mkdirSync('dist/engine/wasm/runtime', { recursive: true });
  run('asc', assembly, '--config', 'src/engine/wasm/kernels/asconfig.json', '--target', 'release');
}
cpSync('src/engine/cuda/kernels', 'dist/engine/cuda/kernels', { recursive: true });
if (existsSync('dist/cli/main.js')) chmodSync('dist/cli/main.js', 0o755);
