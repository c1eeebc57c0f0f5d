// The devices that the conformance suite runs on. A GPU is lowered for as itself in each precision, and as smaller and
// older ones: with few multiprocessors, the larger tiles and the uncut sums that else belong to large work are chosen
// for small cases.

import type { Precision, Target } from '../../src/engine/cuda/lower/launch.ts';
import { cudaBackend } from '../../src/engine/cuda/runtime/backend.ts';
import { findCuda } from '../../src/engine/cuda/runtime/device.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import type { Device } from './conformance.ts';

/** An H200 as far as lowering is concerned. */
export const hopper = (precision: Precision = 'tf32'): Target => ({
  multiprocessors: 132,
  sharedBytesPerBlock: 232_448,
  precision,
  warpgroups: true,
});

/** Compute capability 8.6 and 8.0, but for the number of multiprocessors. */
const rtx30: Partial<Target> = { warpgroups: false, sharedBytesPerBlock: 101_376 };
const a100: Partial<Target> = { warpgroups: false, sharedBytesPerBlock: 166_912 };

/** What a GPU is taken for; each also applies to the GPU that is there. */
export const cudaVariants: Readonly<Record<string, Partial<Target> & Pick<Target, 'precision'>>> = {
  tf32: { precision: 'tf32' },
  fp32: { precision: 'fp32' },
  bf16: { precision: 'bf16' },
  'tf32, 2 multiprocessors': { precision: 'tf32', multiprocessors: 2 },
  'fp32, 2 multiprocessors': { precision: 'fp32', multiprocessors: 2 },
  'tf32, capability 8.6, 2 multiprocessors': { precision: 'tf32', multiprocessors: 2, ...rtx30 },
  'tf32, capability 8.0, 2 multiprocessors': { precision: 'tf32', multiprocessors: 2, ...a100 },
  'fp32, capability 8.0, 2 multiprocessors': { precision: 'fp32', multiprocessors: 2, ...a100 },
};

export const cudaTargets: Readonly<Record<string, Target>> = Object.fromEntries(
  Object.entries(cudaVariants).map(([name, variant]) => [name, { ...hopper(), ...variant }]),
);

/** Relative errors of f32 outputs: rounding of the operands. */
const tolerances: Readonly<Record<Precision, number>> = { tf32: 2e-3, fp32: 1e-5, bf16: 2e-2 };

const once = <T>(make: () => T): (() => T) => {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
};

/** The GPU of this machine in each variant; without one, the reason. */
export function cudaDevices(): { readonly devices: readonly Device[]; readonly reason: string | undefined } {
  const finding = findCuda();
  const devices = Object.entries(cudaVariants).map(([name, { precision, ...as }]) => ({
    name: `cuda, ${name}`,
    open: once(() => cudaBackend({ precision, as, poison: true })),
    // Few multiprocessors sum an inner length in one piece; fp32 then rounds as often as that is long (seen: 1.14e-5).
    tolerance: precision === 'fp32' && as.multiprocessors !== undefined ? 2e-5 : tolerances[precision],
  }));
  return { devices, reason: finding.available ? undefined : `${finding.reason}; ${finding.hint}` };
}

/** The wasm backend with each number of threads. */
export const wasmDevices: readonly Device[] = [1, 2, 3].map((threads) => ({
  name: `wasm, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
  open: once(() => wasmBackend({ threads, poison: true })),
  tolerance: 2e-6,
}));
