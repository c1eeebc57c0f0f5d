// Where the engine runs: the choice of a backend by name, with the reason when one cannot be had.

import type { Backend } from '../engine/backend.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { wasmBackend } from '../engine/wasm/backend.ts';
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

export function openBackend({ name = 'wasm', threads }: DeviceOptions = {}): Backend {
  if (!deviceNames.includes(name)) throw unknownName('device', name, deviceNames);
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
    throw new UserError(`the number of threads is ${threads}; a whole number from 1 to 64 was expected`);
  }
  return name === 'reference' ? referenceBackend() : wasmBackend(threads === undefined ? {} : { threads });
}
