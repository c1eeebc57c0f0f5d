import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { commandsMarkdown } from './reference.ts';

test('docs/commands.md says what the program says; after a change run npm run build && node scripts/commands-doc.mjs', async () => {
  const written = readFileSync(new URL('../../docs/commands.md', import.meta.url), 'utf8');
  expect(await commandsMarkdown()).toBe(written);
});
