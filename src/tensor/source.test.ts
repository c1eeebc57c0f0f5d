import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sha256 } from './files.ts';
import { sha256OfFile } from './source.ts';

test.each([0, 1, 2 ** 20, 5 * 2 ** 19 + 3])('the hash of a file of %i bytes, piece by piece', (size) => {
  const folder = mkdtempSync(join(tmpdir(), 'tram-source-'));
  const bytes = Uint8Array.from({ length: size }, (_, at) => Math.imul(at, 2654435761) >>> 24);
  writeFileSync(join(folder, 'a'), bytes);
  expect(sha256OfFile(join(folder, 'a'))).toBe(sha256(bytes));
  rmSync(folder, { recursive: true });
});
