// Options that decide nothing beside others: every option of every command is known, and what is idle is named.

import { describe, expect, test } from 'vitest';
import { settings } from '../flow/settings/table.ts';
import { free, nameOf, partners } from './partners.ts';
import { buildProgram, commandEntries, runProgram } from './program.ts';
import type { Services } from './services.ts';
import { optionName } from './settings.ts';

function services(): Services & { readonly said: string[] } {
  const said: string[] = [];
  const sink = { columns: 100, write: (text: string) => said.push(text) > 0 };
  const runFlow = () => Promise.reject(new Error('a run was asked for'));
  const loadFlow = async () => ({ runFlow });
  return { stdout: sink, stderr: sink, loadFlow, said } as unknown as Services & { readonly said: string[] };
}

const ofSettings = new Set(settings.flatMap((one) => [optionName(one, true), optionName(one, false)]));

test.each(commandEntries.map(({ name }) => name))('every option of tram %s has a row, or is free', async (wanted) => {
  const program = await buildProgram(services(), (name) => name === wanted);
  const found = program.commands.find((one) => one.name() === wanted)!;
  for (const command of [found, ...found.commands]) {
    const own = partners.filter(({ commands }) => commands.includes(nameOf(command)));
    const known = new Set([...free, ...own.flatMap(({ options }) => options)].map((option) => `--${option}`));
    const names = command.options.map(({ long }) => long!).filter((long) => !long.startsWith('--PHASE-'));
    expect(
      names.filter((long) => !known.has(long) && !ofSettings.has(long)),
      nameOf(command),
    ).toEqual([]);
    // A row names what the command has.
    const has = new Set([
      ...names.map((long) => long.slice(2)),
      ...command.registeredArguments.map((one) => one.name()),
    ]);
    const named = own.flatMap(({ options, needs = [], without = [] }) => [...options, ...needs, ...without]);
    expect(
      named.filter((one) => !has.has(one)),
      nameOf(command),
    ).toEqual([]);
  }
});

describe('refused with exit code 2 and a line', () => {
  test.each([
    ['data digits --each 3', '--each has no effect without --sheet: it is about the picture; leave it out'],
    ['data digits --sample-seed 3', '--sample-seed has no effect: no sample is drawn; say sample, or leave it out'],
    ['models --classes 10', '--classes has no effect without MODEL: the list has each at its own; leave it out'],
    ['serve --out x.html', '--out has no effect without --export: it is where --export writes; leave it out'],
    ['serve --export v --port 1', '--port has no effect beside --export: one view is written, and nothing is served'],
    ['generate --list --bits 4', '--bits has no effect beside --list: the kinds are shown'],
    ['map --theta 1 --top m', '--top has no effect without RUN: it is for a run folder, but none is given'],
    ['map --theta 1 --weight-codes best', '--weight-codes has no effect without RUN:'],
    ['sweep s --over lambda=1 --plan --jobs 2', '--jobs has no effect beside --plan: the folder is made'],
    ['sweep s --over lambda=1 --plan --device cuda', '--device has no effect beside --plan: nothing is trained'],
    ['sweep s --report --minutes 3', '--minutes has no effect beside --report: nothing is trained'],
    ['sweep s --no-synthesis --clock 100', '--clock has no effect beside --no-synthesis: nothing is synthesised'],
    [
      'sweep s --over seed=1,2 --multiplier dadda:8x8 --power 0.3',
      '--power has no effect: map.multiplier is dadda:8x8',
    ],
    ['sweep s --multiplier dadda:8x8 --over seed=1,2 --over lambda=1,2', '--over lambda has no effect: map.multiplier'],
    ['run r --device cuda --threads 2', '--threads has no effect here: only the device wasm has threads'],
    ['compare a b --by gates --clock 100', '--clock has no effect beside --by: that kind of power needs no synthesis'],
    ['try r m --recompute', '--recompute has no effect without --recover: nothing is trained'],
    ['sensitivity r --signed', '--signed has no effect without --multiplier: it says how a multiplier is read'],
    [
      'run --multiplier dadda:8x8 --power 0.3 --print-config',
      '--power has no effect: map.multiplier is dadda:8x8, and',
    ],
    ['run --multiplier dadda:8x8 --types --print-config', '--types has no effect: map.multiplier is dadda:8x8, and'],
    ['run --recover-beta2 0.9 --print-config', '--recover-beta2 has no effect: recover.optimizer is nesterov;'],
  ])('tram %s', async (words, message) => {
    const asked = services();
    expect(await runProgram(words.split(' '), asked)).toBe(2);
    expect(asked.said.join('')).toContain(`tram: ${message}`);
    expect(asked.said.join('').trim()).not.toContain('\n');
  });

  test.each(['run --published --multiplier dadda:8x8 --print-config', 'run --teacher none --print-config'])(
    'but not tram %s',
    async (words) => {
      const asked = services();
      expect(await runProgram(words.split(' '), asked)).toBe(0);
    },
  );
});
