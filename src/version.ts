// The program's version, from its package.json; from src/ and dist/ alike one folder up.

import { readFileSync } from 'node:fs';

export const version: string = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;
