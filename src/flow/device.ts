// Where the engine runs: the choice of a backend by name, loaded when it is chosen, with the reason when it cannot be had.

import type { Backend } from '../engine/backend.ts';
import { UserError } from '../tensor/errors.ts';
import { unknownName } from '../tensor/names.ts';

export const deviceNames = ['wasm', 'reference'] as const;
export type DeviceName = (typeof deviceNames)[number];

export interface DeviceOptions {
  /** Default: wasm. */
  readonly name?: DeviceName;
  /** Worker threads of the wasm backend; default: one per core. */
  readonly threads?: number;
}

export async function openBackend({ name = 'wasm', threads }: DeviceOptions = {}): Promise<Backend> {
  if (!deviceNames.includes(name)) throw unknownName('device', name, deviceNames);
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
    throw new UserError(`the number of threads is ${threads}; a whole number from 1 to 64 was expected`);
  }
  if (name === 'reference') return (await import('../engine/reference/backend.ts')).referenceBackend();
  return (await import('../engine/wasm/backend.ts')).wasmBackend(threads === undefined ? {} : { threads });
}
