// Draws the systolic array of docs/hardware.md: npm run build && node scripts/array-picture.mjs

import { writeFileSync } from 'node:fs';
import { systolicPicture } from '../dist/report/systolic.js';

writeFileSync(new URL('../docs/images/systolic-array.svg', import.meta.url), `${systolicPicture(8, 8)}\n`);
