// Which Yosys runs: the bundled one, one of the system, or one that the caller has opened and keeps.
// Invariant: what is opened here is closed here; what the caller opened is left open.

import { BundledYosys } from './bundled.ts';
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
