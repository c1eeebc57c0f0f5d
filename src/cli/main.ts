#!/usr/bin/env node
// The program `tram`: arguments in, exit code out. Everything else is in program.ts and the commands, which load what they need.

import { runProgram } from './program.ts';
import { realServices } from './services.ts';

// A reader that went away (`tram … | head`) is no reason to lose the work: what it does not read is dropped.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

process.exitCode = await runProgram(process.argv.slice(2), realServices);
