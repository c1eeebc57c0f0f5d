// Where the engine runs: the choice of one device or several by name, what may be said beside it, and what a run keeps
// of it. How a device is opened is said in ../devices.

import type { Backend } from '../../engine/backend.ts';
import { type EmulationName, emulations } from '../../multiplier/error.ts';
import { UserError } from '../../tensor/errors.ts';
import { unknownName } from '../../tensor/names.ts';
import type { Recompute } from '../../train/step.ts';
import { type DeviceName, deviceNames, openLocal, precisions, prepareLocal } from '../devices/local.ts';
import type { DeviceSet } from '../devices/team.ts';

/** What `emulation` may be; results are the same to the last bit, so it is no part of a run's configuration. */
export { type DeviceName, deviceNames, emulations, precisions };

export interface DeviceOptions {
  /** Default: wasm. */
  readonly name?: DeviceName;
  /** Which GPU of the machine the device cuda is, counted from 0; default 0. */
  readonly index?: number;
  /**
   * Several GPUs that train together, each on its part of a batch: those of these numbers, all of this host, or one of
   * each rank that torchrun or Slurm has started; in place of `index`.
   */
  readonly devices?: DeviceSet;
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

/** Devices of one host that a command takes at most. */
const MOST_DEVICES = 64;

/**
 * "wasm", "reference", "cuda", "cuda:1", "cuda:0-3", "cuda:0,2", "cuda:0+2", "cuda:all" or "cuda:ranks" as device
 * options; a UserError names the valid ones.
 */
export function parseDevice(text: string): Pick<DeviceOptions, 'name' | 'index' | 'devices'> {
  const name = deviceNames.find((valid) => valid === text);
  if (name !== undefined) return { name };
  const [, several, which = ''] = /^(cuda|reference):(.+)$/.exec(text) ?? [];
  if (several === 'cuda' && /^\d{1,3}$/.test(which)) return { name: 'cuda', index: Number(which) };
  if (several === 'reference') {
    // In tests: replicas of plain loops on this host, or one in each rank.
    if (which === 'ranks') return { name: several, devices: which };
    if (/^[1-8]$/.test(which)) return { name: several, devices: Array.from({ length: Number(which) }, (_, at) => at) };
  }
  if (several === 'cuda') {
    if (which === 'all' || which === 'ranks') return { name: several, devices: which };
    const devices = numbersOf(which);
    if (devices) return { name: several, devices };
    if (/^\d+(,cuda:\d+)+$/.test(which)) {
      throw new UserError(
        `--device: '${text}' names places of a sweep, with a run on each; for one run on these GPUs together cuda:${which.replaceAll(',cuda:', '+')}`,
      );
    }
    throw new UserError(
      `--device: expected numbers of GPUs such as cuda:0-3 or cuda:0+2, each once, cuda:all or cuda:ranks, got '${text}'`,
    );
  }
  const spelt = deviceNames.flatMap((valid) => (valid === 'cuda' ? [valid, ...severalGpus] : [valid]));
  throw unknownName('device', text, deviceNames, spelt);
}

/** How several GPUs may be named. */
const severalGpus = ['cuda:N', 'cuda:0-3', 'cuda:all', 'cuda:ranks'];

/** "0-3", "0,2" or "0+2-4": numbers and ranges that go up, each number once. */
function numbersOf(text: string): readonly number[] | undefined {
  const numbers: number[] = [];
  for (const part of text.split(/[,+]/)) {
    const [, first, last = first] = /^(\d{1,3})(?:-(\d{1,3}))?$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first)) return undefined;
    for (let number = Number(first); number <= Number(last); number++) numbers.push(number);
  }
  return new Set(numbers).size === numbers.length && numbers.length <= MOST_DEVICES ? numbers : undefined;
}

/** The device as it can be typed, also among others behind a comma; undefined where none was named. */
export function deviceWord({ name, index, devices }: DeviceOptions): string | undefined {
  if (devices === undefined) return index === undefined ? name : `${name}:${index}`;
  if (typeof devices === 'string') return `${name}:${devices}`;
  if (name === 'reference') return `${name}:${devices.length}`;
  const isRange = devices.length > 1 && devices.every((number, at) => number === devices[0]! + at);
  return `${name}:${isRange ? `${devices[0]}-${devices.at(-1)}` : devices.join('+')}`;
}

/** What something was computed with. */
export interface DeviceRecord {
  readonly name: string;
  /** "WebAssembly SIMD, 8 threads; emulation auto", for people. */
  readonly detail: string;
  /** How many of them, where there were several. */
  readonly devices?: number;
  readonly threads?: number;
  readonly precision?: (typeof precisions)[number];
  readonly emulation?: EmulationName;
}

export function deviceRecord({ device }: Backend, options: DeviceOptions = {}): DeviceRecord {
  const { name, description, threads, replicas } = device;
  const { precision = precisions[0], emulation = emulations[0] } = options;
  const operands = name === 'cuda' ? { precision } : {};
  const detail = [
    description,
    ...(name === 'cuda' ? [`precision ${precision}`] : []),
    `emulation ${emulation}`,
    ...(options.recompute ? ['activations computed again'] : []),
  ];
  return {
    ...{ name, detail: detail.join('; ') },
    ...(replicas === 1 ? {} : { devices: replicas }),
    ...(threads === undefined ? {} : { threads }),
    ...operands,
    emulation,
  };
}

/** What one who opens several devices may want beside them. */
export interface OpenOptions {
  /** Told in one line what is odd about the others. */
  readonly tell?: (text: string) => void;
  /** Ends the waiting for the others. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The device of that name, ready to compute; where there are several, as one, to be closed at the end. Throws a
 * UserError where this machine has none, or the others do not come.
 */
export async function openBackend(options: DeviceOptions = {}, open: OpenOptions = {}): Promise<Backend> {
  const { name = 'wasm', index, devices, precision, emulation, threads } = options;
  if (!deviceNames.includes(name)) throw unknownName('device', name, deviceNames);
  if (emulation !== undefined && !emulations.includes(emulation)) {
    throw unknownName('emulation', emulation, emulations);
  }
  if (name !== 'cuda' && (index !== undefined || precision !== undefined)) {
    throw new UserError(`a GPU's number and precision belong to the device cuda, not to ${name}; choose --device cuda`);
  }
  if (devices !== undefined && (name === 'wasm' || index !== undefined || devices.length === 0)) {
    throw new UserError(
      name === 'wasm'
        ? 'the device wasm has all cores of one host already; several devices are GPUs: choose --device cuda:all'
        : `devices are either one of the number ${index} or several, each named once; leave one out`,
    );
  }
  const one = { name, index, precision, threads };
  const backend =
    devices === undefined
      ? await openLocal(one)
      : await (await import('../devices/team.ts')).openTeam({ name, precision, threads, devices, ...open });
  // What a device does not have would gain nothing there: on a CPU a product costs one addition whatever the table,
  // factors only add to it.
  const { emulations: forms } = backend.device;
  if ((emulation === 'lowrank' || emulation === 'table') && !forms.includes(emulation)) {
    await backend.close?.();
    throw new UserError(
      `the device ${name} has no emulation ${emulation}; choose auto, planes or ${forms.join(' or ')} there, or another --device`,
    );
  }
  return backend;
}

/** Lets the device begin with what takes it long, before it is opened; what is wrong is said then. */
export async function prepareBackend({ name = 'wasm', devices }: DeviceOptions = {}): Promise<void> {
  if (devices === undefined) await prepareLocal(name);
}

/** Throws a UserError where several devices are asked for, of which there is nothing to gain. */
export function requireOneDevice(options: DeviceOptions | undefined, why: string): void {
  if (options?.devices === undefined) return;
  const { name = 'cuda', devices } = options;
  const first = typeof devices === 'string' ? name : deviceWord({ name, index: devices[0] ?? 0 });
  throw new UserError(`${why}, which several devices do not do faster; choose --device ${first}`);
}
