// What a program consists of on the device: kernel launches with addresses already known. Lowering an operation gives
// commands; nothing here calls the driver, so plans can be tested without a GPU.
// Invariant: a launch's arguments agree with the parameters of its kernel in the `.cu` file, by name, order and type,
// and its macros with those that the file takes; test/cuda/lowering.test.ts holds every launch against the source.

import { invariant } from '../../../tensor/errors.ts';

/** An address in device memory. */
export type Address = bigint;

/**
 * A `.cu` file and the macros that specialise it; of a kernel that is generated the text, and a name in place of the
 * file.
 */
export interface KernelSource {
  readonly file: string;
  readonly text?: string;
  readonly defines: Readonly<Record<string, number | string>>;
}

/** A list as the value of a macro; see kernels/lists.cuh. */
export const macroList = (values: readonly number[]): string => values.map((value) => `(${value})`).join('');

export interface KernelLaunch {
  readonly source: KernelSource;
  readonly name: string;
  readonly grid: readonly [number, number, number];
  readonly block: readonly [number, number, number];
  /** Bytes of dynamic shared memory. */
  readonly shared: number;
  readonly parameters: Arguments;
  /** The same as the kernel's parameter block. */
  readonly args: Uint8Array;
  /** The addresses among the arguments: where the memory that the kernel may touch begins. */
  readonly addresses: readonly Address[];
}

export type Precision = 'tf32' | 'bf16' | 'fp32';

/** What lowering may know of the device. */
export interface Target {
  readonly multiprocessors: number;
  /** Largest shared memory of one block. */
  readonly sharedBytesPerBlock: number;
  readonly precision: Precision;
  /** Whether warpgroup matrix instructions exist (Hopper). */
  readonly warpgroups: boolean;
  /** Whether bits are counted where there are such (approximate-bits.ts); default: they are. */
  readonly counts?: boolean;
}

/**
 * A kernel argument: an address, a 32-bit integer, a float or double, or a structure of such by the names of its
 * fields.
 */
export type Argument =
  | { readonly type: 'address'; readonly value: Address }
  | { readonly type: 'i32' | 'f32' | 'f64'; readonly value: number }
  | { readonly type: 'struct'; readonly fields: Arguments };

/** Arguments by the names that the kernel's parameters have, in their order. */
export type Arguments = Readonly<Record<string, Argument>>;

const named =
  <T, A extends Argument>(make: (value: T) => A) =>
  (values: Readonly<Record<string, T>>): Arguments =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, make(value)]));

export const addresses = named((value: Address): Argument => ({ type: 'address', value }));
export const integers = named((value: number): Argument => ({ type: 'i32', value }));
export const floats = named((value: number): Argument => ({ type: 'f32', value }));
export const doubles = named((value: number): Argument => ({ type: 'f64', value }));
export const struct = (fields: Arguments): Argument => ({ type: 'struct', fields });

const sizes = { address: 8, i32: 4, f32: 4, f64: 8 } as const;

function alignmentOf(argument: Argument): number {
  if (argument.type !== 'struct') return sizes[argument.type];
  return Math.max(...Object.values(argument.fields).map(alignmentOf));
}

/** The parameter block: each argument at its natural alignment, as the compiler lays them out. */
export function packArguments(args: Arguments): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(4096));
  let at = 0;
  const align = (to: number) => {
    at = Math.ceil(at / to) * to;
  };
  const put = (argument: Argument): void => {
    align(alignmentOf(argument));
    switch (argument.type) {
      case 'struct':
        Object.values(argument.fields).forEach(put);
        align(alignmentOf(argument));
        return;
      case 'address':
        bytes.setBigUint64(at, argument.value, true);
        break;
      case 'i32':
        invariant(
          Number.isInteger(argument.value) && Math.abs(argument.value) < 2 ** 32,
          `${argument.value} as 32 bits`,
        );
        bytes.setInt32(at, argument.value, true);
        break;
      case 'f32':
        bytes.setFloat32(at, argument.value, true);
        break;
      case 'f64':
        bytes.setFloat64(at, argument.value, true);
        break;
    }
    at += sizes[argument.type];
  };
  Object.values(args).forEach(put);
  return new Uint8Array(bytes.buffer.slice(0, at));
}

const addressesIn = (args: Arguments): Address[] =>
  Object.values(args).flatMap((argument) => {
    if (argument.type === 'struct') return addressesIn(argument.fields);
    return argument.type === 'address' ? [argument.value] : [];
  });

type Dimensions = number | readonly number[];

function dimensions(size: Dimensions): [number, number, number] {
  const [x = 1, y = 1, z = 1] = typeof size === 'number' ? [size] : size;
  return [x, y, z];
}

/** Blocks, threads of a block, and bytes of dynamic shared memory. */
export interface LaunchSize {
  readonly grid: Dimensions;
  readonly block: Dimensions;
  readonly shared?: number;
}

export function launch(
  source: KernelSource,
  name: string,
  { grid, block, shared = 0 }: LaunchSize,
  args: Arguments,
): KernelLaunch {
  const [gx, gy, gz] = dimensions(grid);
  invariant(gx >= 1 && gy >= 1 && gz >= 1 && gy < 65536 && gz < 65536, `${name}: a grid of ${gx}×${gy}×${gz} blocks`);
  return {
    source,
    name,
    grid: [gx, gy, gz],
    block: dimensions(block),
    shared,
    parameters: args,
    args: packArguments(args),
    addresses: addressesIn(args),
  };
}
