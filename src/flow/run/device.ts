// Where the engine runs: the choice of a backend by name, loaded when it is chosen, with the reason when it cannot be
// had.

import type { Backend } from '../../engine/backend.ts';
import { type EmulationName, emulations } from '../../multiplier/error.ts';
import { UserError } from '../../tensor/errors.ts';
import { unknownName } from '../../tensor/names.ts';
import type { Recompute } from '../../train/step.ts';

/** What `emulation` may be; results are the same to the last bit, so it is no part of a run's configuration. */
export { emulations };

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
  /**
   * Training computes activations inside the network's blocks again instead of keeping them: less memory, the same
   * results; `light`: all but the layers' products, in less time; default: false.
   */
  readonly recompute?: Recompute;
}

/** "wasm", "reference", "cuda" or "cuda:1" as device options; a UserError names the valid ones. */
export function parseDevice(text: string): Pick<DeviceOptions, 'name' | 'index'> {
  const name = deviceNames.find((valid) => valid === text);
  if (name !== undefined) return { name };
  const [, index] = /^cuda:(\d{1,3})$/.exec(text) ?? [];
  if (index !== undefined) return { name: 'cuda', index: Number(index) };
  const spelt = deviceNames.flatMap((valid) => (valid === 'cuda' ? [valid, `${valid}:N`] : [valid]));
  throw unknownName('device', text, deviceNames, spelt);
}

/** What something was computed with. */
export interface DeviceRecord {
  readonly name: string;
  /** "WebAssembly SIMD, 8 threads; emulation auto", for people. */
  readonly detail: string;
  readonly threads?: number;
  readonly precision?: (typeof precisions)[number];
  readonly emulation?: EmulationName;
}

export function deviceRecord({ device }: Backend, options: DeviceOptions = {}): DeviceRecord {
  const { name, description, threads } = device;
  const { precision = precisions[0], emulation = emulations[0] } = options;
  const operands = name === 'cuda' ? { precision } : {};
  const detail = [
    description,
    ...(name === 'cuda' ? [`precision ${precision}`] : []),
    `emulation ${emulation}`,
    ...(options.recompute ? ['activations computed again'] : []),
  ];
  return { name, detail: detail.join('; '), ...(threads === undefined ? {} : { threads }), ...operands, emulation };
}

/** The device of that name, ready to compute. Throws a UserError where this machine has none. */
export async function openBackend(options: DeviceOptions = {}): Promise<Backend> {
  const { name = 'wasm', index, precision, emulation } = options;
  if (!deviceNames.includes(name)) throw unknownName('device', name, deviceNames);
  if (name !== 'cuda' && (index !== undefined || precision !== undefined)) {
    throw new UserError(`a GPU's number and precision belong to the device cuda, not to ${name}; choose --device cuda`);
  }
  const backend = await backends[name](options);
  // What a device does not have would gain nothing there: on a CPU a product costs one addition whatever the table,
  // factors only add to it.
  const { emulations: forms } = backend.device;
  if ((emulation === 'lowrank' || emulation === 'table') && !forms.includes(emulation)) {
    throw new UserError(
      `the device ${name} has no emulation ${emulation}; choose auto, planes or ${forms.join(' or ')} there, or another --device`,
    );
  }
  return backend;
}

const backends: Readonly<Record<DeviceName, (options: DeviceOptions) => Promise<Backend>>> = {
  reference: async () => (await import('../../engine/reference/backend.ts')).referenceBackend(),
  cuda: async ({ index, precision }) => {
    const { cudaBackend } = await import('../../engine/cuda/runtime/backend.ts');
    return cudaBackend({
      ...(index === undefined ? {} : { device: index }),
      ...(precision === undefined ? {} : { precision }),
    });
  },
  wasm: async ({ threads }) => {
    if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
      throw new UserError(`the number of threads is ${threads}; a whole number from 1 to 64 was expected`);
    }
    const { wasmBackend } = await import('../../engine/wasm/runtime/backend.ts');
    return wasmBackend(threads === undefined ? {} : { threads });
  },
};
