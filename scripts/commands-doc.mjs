// Writes docs/commands.md from the built program: npm run build && node scripts/commands-doc.mjs
import { writeFileSync } from 'node:fs';
import { commandsMarkdown } from '../dist/cli/reference.js';

const path = new URL('../docs/commands.md', import.meta.url);
writeFileSync(path, await commandsMarkdown());
