// Which Yosys runs: the bundled one, one of the system, or one that the caller has opened and keeps.
// Invariant: what is opened here is closed here; what the caller opened is left open.

import { BundledYosys, bundledVersion } from './bundled.ts';
import { SystemYosys } from './system.ts';
import type { Yosys } from './tool.ts';

export type YosysChoice = 'bundled' | 'system' | Yosys;

export function openYosys(kind: 'bundled' | 'system'): Yosys {
  return kind === 'bundled' ? new BundledYosys() : new SystemYosys();
}

export async function withYosys<T>(choice: YosysChoice, work: (yosys: Yosys) => Promise<T>): Promise<T> {
  if (typeof choice !== 'string') return work(choice);
  const yosys = openYosys(choice);
  try {
    return await work(yosys);
  } finally {
    await yosys.close();
  }
}

/** What the results of this Yosys depend on: its version, known of the bundled one without starting it. */
export async function yosysIdentity(choice: YosysChoice): Promise<string> {
  if (choice === 'bundled' || choice instanceof BundledYosys) return `bundled ${bundledVersion()}`;
  return withYosys(choice, (yosys) => yosys.version());
}
