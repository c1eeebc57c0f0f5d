// A process that compiles, one kernel after the other, with the library and at the priority that are its arguments. It
// knows nothing of caches and devices, and ends when the process that started it does.

import { getPriority, setPriority } from 'node:os';
import { Compiler } from './compiler.ts';
import { loadFfi } from './device.ts';

export interface CompileRequest {
  readonly text: string;
  readonly name: string;
  readonly options: readonly string[];
}

export type CompileAnswer = { readonly image: Uint8Array } | { readonly problem: string };

const [library, priority] = process.argv.slice(2);
setPriority(Math.max(getPriority(), Number(priority)));
// Ctrl-C goes to all processes of a terminal, and what it means is for the first one to say. Neither signal may be left
// to Node: the compiler puts its handlers back without their flags, and they then call themselves for ever.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => process.exit());
process.on('disconnect', () => process.exit());

const compiler = new Compiler(loadFfi(), library!);
process.on('message', ({ text, name, options }: CompileRequest) => {
  process.send!(answer(text, name, options));
});

function answer(...[text, name, options]: Parameters<Compiler['compileHere']>): CompileAnswer {
  try {
    return { image: compiler.compileHere(text, name, options) };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}
