// One device of this machine, by name: the choice of a backend, loaded when it is chosen, with the reason when it
// cannot be had. What makes several of them work together is in team.ts.

import type { Backend } from '../../engine/backend.ts';
import { requireWhole } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import type { Hello } from './hello.ts';

export const deviceNames = ['wasm', 'cuda', 'reference'] as const;
export type DeviceName = (typeof deviceNames)[number];

export const precisions = ['tf32', 'bf16', 'fp32'] as const;
export type PrecisionName = (typeof precisions)[number];

export interface LocalOptions {
  readonly name: DeviceName;
  readonly index?: number | undefined;
  readonly precision?: PrecisionName | undefined;
  readonly threads?: number | undefined;
}

export const openLocal = ({ name, ...options }: LocalOptions): Promise<Backend> => backends[name](options);

/** Lets a device that is opened later begin with what takes it long, beside whatever comes before. */
export async function prepareLocal(name: DeviceName): Promise<void> {
  if (name === 'cuda') (await import('../../engine/cuda/runtime/backend.ts')).prepareCuda();
}

const backends: Readonly<Record<DeviceName, (options: Omit<LocalOptions, 'name'>) => Promise<Backend>>> = {
  reference: async () => (await import('../../engine/reference/backend.ts')).referenceBackend(),
  cuda: async ({ index, precision }) => {
    const { cudaBackend } = await import('../../engine/cuda/runtime/backend.ts');
    return cudaBackend(given({ device: index, precision }));
  },
  wasm: async ({ threads }) => {
    if (threads !== undefined) requireWhole('the number of threads', threads, 1, 64);
    const { wasmBackend } = await import('../../engine/wasm/runtime/backend.ts');
    return wasmBackend(given({ threads }));
  },
};

/** What the other ranks have to know of a device. */
export function factsOf({ device }: Backend): NonNullable<Hello['device']> {
  const { name, model = name, description, memoryBytes } = device;
  return { name, model, description, memoryBytes };
}
