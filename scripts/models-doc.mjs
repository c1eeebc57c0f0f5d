// Writes docs/models.md from the built program: npm run build && node scripts/models-doc.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import { modelsPage } from '../dist/cli/models-page.js';
import { listModels } from '../dist/flow/models.js';

const layers = readFileSync(new URL('../src/nn/layers.ts', import.meta.url), 'utf8');
writeFileSync(new URL('../docs/models.md', import.meta.url), modelsPage(listModels(), layers));
