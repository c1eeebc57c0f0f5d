// Options of a bench or a check, as its opening comment tells them: `--help` prints that comment, which is the only
// text about them, and an option that is none is one line and exit code 2, before anything is computed. A UserError
// (no GPU, a model that is not there) is one line too; what else is thrown keeps its stack.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** The lines of the comment that a script opens with, behind a #! line if there is one. */
export function openingComment(text) {
  const lines = text.replace(/^#!.*\n/, '').split('\n');
  const end = lines.findIndex((line) => !line.startsWith('//'));
  return lines.slice(0, end).map((line) => line.replace(/^\/\/ ?/, ''));
}

/** A mistake of the user's, to be thrown: one line and exit code 2. */
export const mistake = (message) => Object.assign(new Error(message), { name: 'UserError' });

/**
 * What `parseArgs` makes of the command line, { values, positionals }, for the script of this address
 * (`import.meta.url`); `config` is that of parseArgs. Does not return where help was asked for or an option is wrong.
 */
export function optionsOf(script, config = {}) {
  const path = fileURLToPath(script);
  const fail = (message) => {
    console.error(`${basename(path)}: ${message}`);
    process.exit(2);
  };
  process.on('uncaughtException', (error) => {
    if (error?.name === 'UserError') fail(error.message);
    console.error(error);
    process.exit(1);
  });
  try {
    const options = { ...config.options, help: { type: 'boolean', short: 'h', default: false } };
    const {
      values: { help, ...values },
      positionals,
    } = parseArgs({ ...config, options });
    if (!help) return { values, positionals };
  } catch (error) {
    fail(`${error.message.split('. ')[0]}; --help tells the options`);
  }
  console.log(openingComment(readFileSync(path, 'utf8')).join('\n'));
  process.exit(0);
}
