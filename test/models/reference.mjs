// All reference models on a GPU, on a host that has one and neither npm nor network, compiled. Prints a line per file.
//   node test/models/reference.mjs [FILTER] [FOLDER]    FILTER: a part of the file's name; FOLDER: of the files, else
//   reference/models beside the project
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { cudaBackend } from '../../build/gpu/src/engine/cuda/runtime/backend.js';
import { findCuda } from '../../build/gpu/src/engine/cuda/runtime/device.js';
import { findModel } from '../../build/gpu/src/nn/models/registry.js';
import {
  excesses,
  measure,
  nameOfReference,
  readReference,
  referenceNames,
  structureDifferences,
  tolerancesOnGpu,
} from '../../build/gpu/test/models/reference.js';
import { smallTransformers } from '../../build/gpu/test/models/transformers.js';

const places = ['../../../shared', '../../shared'].map((folder) =>
  fileURLToPath(new URL(`${folder}/reference/models`, import.meta.url)),
);
const [filter = '', folder = places.find((place) => existsSync(place))] = process.argv.slice(2);
const finding = findCuda();
if (!finding.available || folder === undefined) {
  const reason = folder === undefined ? 'no reference models beside the project' : `${finding.reason}; ${finding.hint}`;
  console.log(`skipped: ${reason}`);
  process.exit(0);
}

const modelOf = (name) =>
  smallTransformers.find((model) => `timm-${model.name}` === name) ?? findModel(nameOfReference(name));

let failures = 0;
const names = referenceNames(folder).filter((name) => name.includes(filter));
for (const name of names) {
  const start = performance.now();
  const reference = readReference(folder, name);
  let problems;
  let told = '';
  try {
    const model = modelOf(name);
    problems = structureDifferences(model, reference);
    // Products of float32, each as several of tf32: the bounds are those of such products.
    const errors = await measure(model, reference, cudaBackend({ precision: 'fp32' }));
    problems.push(...excesses(reference, errors, tolerancesOnGpu));
    told = Object.entries(errors)
      .map(([kind, error]) => `${kind} ${error.toExponential(1)}`)
      .join(', ');
  } catch (error) {
    problems = [String(error.stack ?? error).slice(0, 800)];
  }
  if (problems.length > 0) failures++;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${problems.length > 0 ? 'FAIL' : 'pass'} ${name}, ${seconds} s: ${told}`);
  for (const problem of problems) console.log(`     ${problem}`);
}
console.log(`${names.length - failures} of ${names.length} reference models agree`);
process.exit(failures > 0 ? 1 : 0);
