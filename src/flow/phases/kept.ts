// What an interrupted phase has left in its own file, for the same phase to go on with: measurements, each of them
// whole, beside the facts that they depend on.

import { existsSync } from 'node:fs';
import type { z } from 'zod';
import { UserError } from '../../tensor/errors.ts';
import { readJson } from '../../tensor/files.ts';

/** The file's content where it was written under the same facts; one that cannot be read is measured anew. */
export function keptUnder<T extends { readonly facts?: string | undefined }>(
  facts: string,
  path: string,
  schema: z.ZodType<T>,
): T | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const parsed = schema.safeParse(readJson(path));
    return parsed.success && parsed.data.facts === facts ? parsed.data : undefined;
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
