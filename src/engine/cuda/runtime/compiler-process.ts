// A process that compiles, one kernel after the other, with the library and at the priority that are its arguments. It
// knows nothing of caches and devices, and ends when the process that started it does. Its first answer is that it is
// there; where it finds another version of the library than it was told, it ends instead.

import { getPriority, setPriority } from 'node:os';
import { Compiler } from './compiler.ts';
import { loadFfi } from './device.ts';

export interface CompileRequest {
  readonly text: string;
  readonly name: string;
  readonly options: readonly string[];
}

export type CompileAnswer = { readonly image: Uint8Array } | { readonly problem: string } | { readonly ready: true };

const [library, version, priority] = process.argv.slice(2);
setPriority(Math.max(getPriority(), Number(priority)));
// Ctrl-C goes to all processes of a terminal, and what it means is for the first one to say. Neither signal may be left
// to Node: the compiler puts its handlers back without their flags, and they then call themselves for ever.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => process.exit());
process.on('disconnect', () => process.exit());

const ffi = loadFfi();
endWithParent();
const compiler = new Compiler(ffi, library!);
if (compiler.version !== version) process.exit(1);
process.on('message', ({ text, name, options }: CompileRequest) => {
  tell(answer(text, name, options));
});
tell({ ready: true });

function tell(message: CompileAnswer): void {
  // Nobody may listen any more.
  process.send?.(message, () => {});
}

/** Who compiles hears nothing: on Linux the system ends this process as soon as the thread that started it is gone. */
function endWithParent(): void {
  if (process.platform !== 'linux') return;
  const [PR_SET_PDEATHSIG, SIGKILL] = [1, 9];
  try {
    ffi.load(null).func('int prctl(int option, ulong signal)')(PR_SET_PDEATHSIG, SIGKILL);
  } catch {
    // It ends behind what it compiles.
  }
}

function answer(...[text, name, options]: Parameters<Compiler['compileHere']>): CompileAnswer {
  try {
    return { image: compiler.compileHere(text, name, options) };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}
