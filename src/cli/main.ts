#!/usr/bin/env node
// The program `tram`: arguments in, exit code out. Everything else is in program.ts and the commands, which load what
// they need.

import { outputFailure } from './failure.ts';
import { runProgram } from './program.ts';
import { realServices } from './services.ts';

// A reader that went away (`tram … | head`), a full disk behind a redirection, or a terminal that was closed are no
// reason to lose the work: what cannot be written is dropped. Only the reader that went away knows; the others are told
// at the end.
let lost: NodeJS.ErrnoException | undefined;
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || lost) return;
    lost = error;
    process.exitCode = 2;
    if (stream === process.stdout) process.stderr.write(`tram: ${outputFailure(error)}\n`);
  });
}

const code = await runProgram(process.argv.slice(2), realServices);
process.exitCode = lost ? 2 : code;
