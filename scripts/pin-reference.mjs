// Writes test/published/: what the published program computed for single layers, the errors that its mapping reaches,
// and a hash of the table that its demo made, in the shortest digits that give the same float32. The repository's tests
// need nothing else of it.
//   node scripts/pin-reference.mjs REFERENCE   (a folder with layers.json, mapping.json and multipliers/)
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';

/** The shortest decimal number that is the same float32. */
function shortest(value) {
  const rounded = Math.fround(value);
  for (let digits = 1; digits < 10; digits++) {
    const short = Number(rounded.toPrecision(digits));
    if (Math.fround(short) === rounded) return short;
  }
  return rounded;
}

/** The texts of the pinned files, by their names. */
export function pinned(reference) {
  const read = (name) => readFileSync(join(reference, name));
  const layers = JSON.parse(read('layers.json').toString('utf8'));
  // Tensors are float32; other numbers (θ, clip factors) stay as they are written.
  const short = (key, value) => (key === 'data' ? value.map(shortest) : value);
  const table = gunzipSync(read('multipliers/resnet18_w8a8_lbd0.3.lut.txt.gz'));
  const mapping = {
    cases: JSON.parse(read('mapping.json').toString('utf8')),
    demoTableSha256: createHash('sha256').update(table).digest('hex'),
  };
  return {
    'layers.json': `[\n${layers.map((layer) => JSON.stringify(layer, short)).join(',\n')}\n]\n`,
    'mapping.json': `${JSON.stringify(mapping, null, 2)}\n`,
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const reference = process.argv[2];
  if (reference === undefined) {
    console.error('usage: node scripts/pin-reference.mjs REFERENCE');
    process.exit(2);
  }
  const folder = new URL('../test/published/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(pinned(reference))) {
    writeFileSync(new URL(name, folder), text);
    console.log(`test/published/${name}: ${text.length} bytes`);
  }
}
