// The machine and the installation examined: what works, what is missing, as data. Things are tried rather than asked
// for; nothing is written.

import { type CudaFinding, findCuda } from '../../engine/cuda/runtime/device.ts';
import { version } from '../../version.ts';
import { type DeviceName, deviceNames } from '../run/device.ts';
import {
  atLeast,
  embeddedData,
  type LibraryVersion,
  libraryVersions,
  requiredNode,
  tryDevice,
} from './installation.ts';
import { freeDisk, machineFacts, type Trial, trySimd, tryThreads } from './machine.ts';

export type { Trial } from './machine.ts';

export interface Examination {
  /** Whether a run can be done here. */
  readonly healthy: boolean;
  /** Version of the program. */
  readonly tram: string;
  readonly node: { readonly version: string; readonly required: string; readonly works: boolean };
  readonly machine: ReturnType<typeof machineFacts>;
  /** Where a new run would go. */
  readonly disk: ReturnType<typeof freeDisk>;
  readonly webassembly: { readonly simd: Trial; readonly threads: Trial };
  readonly devices: Readonly<Record<DeviceName, Trial>>;
  readonly cuda: CudaFinding;
  readonly libraries: readonly LibraryVersion[];
  readonly data: ReturnType<typeof embeddedData>;
}

/** Tries everything; `folder` is where runs would go. Never throws for something missing. */
export async function examine(folder = 'runs'): Promise<Examination> {
  const required = requiredNode();
  const devices: Partial<Record<DeviceName, Trial>> = {};
  for (const name of deviceNames) devices[name] = await tryDevice(name);
  const facts = {
    tram: version,
    node: { version: process.versions.node, required, works: atLeast(process.versions.node, required) },
    machine: machineFacts(),
    disk: freeDisk(folder),
    webassembly: { simd: trySimd(), threads: await tryThreads() },
    devices: devices as Record<DeviceName, Trial>,
    cuda: findCuda(),
    libraries: libraryVersions(),
    data: embeddedData(),
  };
  const healthy =
    facts.node.works &&
    facts.data.works &&
    facts.devices.wasm.works &&
    facts.libraries.every((library) => library.version !== null || library.optional);
  return { healthy, ...facts };
}
