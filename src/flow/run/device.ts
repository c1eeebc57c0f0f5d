// Where the engine runs: the choice of a backend by name, loaded when it is chosen, with the reason when it cannot be had.

import type { Backend } from '../../engine/backend.ts';
import { type EmulationName, emulations } from '../../multiplier/multiplier.ts';
import { UserError } from '../../tensor/errors.ts';
import { unknownName } from '../../tensor/names.ts';

export const deviceNames = ['wasm', 'cuda', 'reference'] as const;
export type DeviceName = (typeof deviceNames)[number];

export const precisions = ['tf32', 'bf16', 'fp32'] as const;

export interface DeviceOptions {
  /** Default: wasm. */
  readonly name?: DeviceName;
  /** Which GPU of the machine the device cuda is, counted from 0; default 0. */
  readonly index?: number;
  /** Operands of the device cuda's float products: tf32 (default), bf16, or fp32 as sums of several tf32 products. */
  readonly precision?: (typeof precisions)[number];
  /** Default: auto, the fastest that applies to each multiplier. */
  readonly emulation?: EmulationName;
  /** Worker threads of the wasm backend; default: one per core. */
  readonly threads?: number;
}

/** "wasm", "reference", "cuda" or "cuda:1" as device options; a UserError names the valid ones. */
export function parseDevice(text: string): Pick<DeviceOptions, 'name' | 'index'> {
  const name = deviceNames.find((valid) => valid === text);
  if (name !== undefined) return { name };
  const [, index] = /^cuda:(\d{1,3})$/.exec(text) ?? [];
  if (index !== undefined) return { name: 'cuda', index: Number(index) };
  throw unknownName('device', text, deviceNames, ['wasm', 'cuda', 'cuda:N', 'reference']);
}

/** "WebAssembly SIMD, 8 threads; emulation auto": what a phase computed with, beside the backend's name. */
export function deviceDetail({ name, description }: Backend, options: DeviceOptions = {}): string {
  const precision = name === 'cuda' ? [`precision ${options.precision ?? precisions[0]}`] : [];
  return [description, ...precision, `emulation ${options.emulation ?? emulations[0]}`].join('; ');
}

/** The device of that name, ready to compute. Throws a UserError where this machine has none. */
export async function openBackend({
  name = 'wasm',
  index,
  precision,
  emulation,
  threads,
}: DeviceOptions = {}): Promise<Backend> {
  if (!deviceNames.includes(name)) throw unknownName('device', name, deviceNames);
  if (name !== 'cuda' && (index !== undefined || precision !== undefined)) {
    throw new UserError(`a GPU's number and precision belong to the device cuda, not to ${name}; choose --device cuda`);
  }
  if (name !== 'cuda' && emulation === 'lowrank') {
    // Their cost per product is one addition whatever the table: planes of a factorisation could only add to it.
    throw new UserError(
      `the device ${name} has no emulation lowrank; choose auto, planes or table there, or --device cuda`,
    );
  }
  switch (name) {
    case 'reference':
      return (await import('../../engine/reference/backend.ts')).referenceBackend();
    case 'cuda': {
      const { cudaBackend } = await import('../../engine/cuda/runtime/backend.ts');
      return cudaBackend({
        ...(index === undefined ? {} : { device: index }),
        ...(precision === undefined ? {} : { precision }),
      });
    }
    case 'wasm': {
      if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
        throw new UserError(`the number of threads is ${threads}; a whole number from 1 to 64 was expected`);
      }
      return (await import('../../engine/wasm/runtime/backend.ts')).wasmBackend(
        threads === undefined ? {} : { threads },
      );
    }
  }
}
