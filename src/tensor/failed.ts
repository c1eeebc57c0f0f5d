// An error as it goes from one thread, or process, to another, where it is one of the same class again.

import { BusyError, LostDeviceError, StorageError, UserError } from './errors.ts';

export interface Failed {
  /** Whose fault: the user's, a full disk's, another process's that was first, a lost device's, or the program's. */
  readonly fault: keyof typeof faults;
  readonly message: string;
  readonly stack: string | undefined;
}

const faults = {
  storage: StorageError,
  busy: BusyError,
  lost: LostDeviceError,
  user: UserError,
  program: Error,
} as const;

export function failedBy(error: unknown): Failed {
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
  const kinds = Object.keys(faults) as (keyof typeof faults)[];
  return { fault: kinds.find((kind) => error instanceof faults[kind]) ?? 'program', message, stack };
}

export function errorOf({ fault, message, stack }: Failed): Error {
  const error = new faults[fault](message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
