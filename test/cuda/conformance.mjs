// The conformance suite on a GPU, without a test runner: every case on the cuda backend against the reference, each precision, each twice
// (results must be equal to the bit), low-rank emulations also against the look-ups (likewise). Prints one line per case that fails with the relative error and the first differing elements.
//   npx tsc -p test/cuda/tsconfig.json && node test/cuda/conformance.mjs [tf32,fp32,bf16] [filter]
// `prepare` instead of the precisions computes the reference's results and keeps them beside the compiled tests, for a host with a GPU.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import { cudaBackend } from '../../build/gpu/src/engine/cuda/backend.js';
import { findCuda } from '../../build/gpu/src/engine/cuda/device.js';
import { referenceBackend } from '../../build/gpu/src/engine/reference/backend.js';
import { gpuCases, runGpuCase } from '../../build/gpu/test/cuda/gpu-cases.js';
import { cases } from '../../build/gpu/test/engine/cases.js';
import { relativeError } from '../../build/gpu/test/engine/run-case.js';

const tolerances = { tf32: 2e-3, fp32: 1e-5, bf16: 2e-2 };
const [precisions = 'tf32,fp32', filter = ''] = process.argv.slice(2);

const chosen = [...cases, ...gpuCases].filter(({ name }) => name.includes(filter));
const reference = referenceBackend();
const kept = new URL('../../build/gpu/expected.bin', import.meta.url);
if (precisions === 'prepare') {
  const results = [];
  for (const item of chosen) results.push([item.name, await runGpuCase(reference, item)]);
  writeFileSync(kept, serialize(new Map(results)));
  console.log(`${results.length} cases prepared`);
  process.exit(0);
}
const expectations = existsSync(kept) ? deserialize(readFileSync(kept)) : new Map();

const finding = findCuda();
if (!finding.available) {
  console.log(`skipped: ${finding.reason}; ${finding.hint}`);
  process.exit(0);
}
console.log(
  `${finding.devices[0].name}, driver ${finding.driverVersion} (${finding.driverLibrary}), NVRTC ${finding.compilerVersion} (${finding.compilerLibrary})`,
);

/** Outputs that hold integers scaled once are exact whatever the precision of float products. */
function toleranceOf(item, name, precision) {
  const { op, attributes } = item;
  const integer = op === 'axmConv2d' && (attributes.error !== 'planes' || attributes.integer);
  if (integer && name === 'y0') return 1e-7;
  return tolerances[precision];
}

/**
 * ‖found − expected‖ / ‖expected‖. The scalar Σ r·y with random r of both signs may come out near zero by chance: its error is taken relative
 * to the size that such a sum has, ‖y‖ times the root mean square of r.
 */
function errorOf(name, found, expected) {
  const error = relativeError(found, expected[name]);
  if (name !== 'scalar' || error === 0) return error;
  const outputs = Object.entries(expected).filter(([output, y]) => output.startsWith('y') && y instanceof Float32Array);
  const usual = Math.sqrt(outputs.reduce((sum, [, y]) => y.reduce((total, v) => total + v * v, sum), 0) / 12);
  const size = Math.abs(expected.scalar[0]);
  return error * (size / Math.max(size, usual));
}

function difference(item, found, expected, precision) {
  const problems = [];
  for (const [name, data] of Object.entries(expected)) {
    const have = found[name];
    if (have === undefined) {
      problems.push(`${name} is missing`);
      continue;
    }
    const error = errorOf(name, have, expected);
    const tolerance = data instanceof Float32Array ? toleranceOf(item, name, precision) : 0;
    if (error <= tolerance) continue;
    const wrong = [];
    for (let i = 0; i < data.length && wrong.length < 4; i++) {
      if (Math.abs(have[i] - data[i]) > tolerance * Math.max(1e-3, Math.abs(data[i])) || Number.isNaN(have[i]))
        wrong.push(i);
    }
    const shown = wrong.map((i) => `[${i}] ${have[i]} for ${data[i]}`).join(', ');
    problems.push(`${name}[${data.length}] error ${error.toExponential(2)}: ${shown}`);
  }
  return problems;
}

let failures = 0;
for (const precision of precisions.split(',')) {
  const backend = cudaBackend({ precision });
  let passed = 0;
  let worst = [0, ''];
  const queue = [...chosen];
  const worker = async () => {
    for (let item = queue.shift(); item; item = queue.shift()) {
      if (!expectations.has(item.name)) expectations.set(item.name, await runGpuCase(reference, item));
      const expected = expectations.get(item.name);
      let problems;
      try {
        const found = await runGpuCase(backend, item);
        problems = difference(item, found, expected, precision);
        const again = await runGpuCase(backend, item);
        const moved = Object.keys(found).filter(
          (name) => Buffer.compare(Buffer.from(found[name].buffer), Buffer.from(again[name].buffer)) !== 0,
        );
        if (moved.length > 0) problems.push(`${moved.join(', ')} differ between two runs`);
        if (item.attributes.emulation === 'lowrank') {
          const looked = await runGpuCase(backend, { ...item, attributes: { ...item.attributes, emulation: 'table' } });
          if (Buffer.compare(Buffer.from(found.y0.buffer), Buffer.from(looked.y0.buffer)) !== 0)
            problems.push('low-rank and table differ');
        }
        for (const [name, data] of Object.entries(expected)) {
          const error = data instanceof Float32Array && found[name] ? errorOf(name, found[name], expected) : 0;
          if (error > worst[0]) worst = [error, `${item.name} ${name}`];
        }
      } catch (error) {
        problems = [String(error.message).slice(0, 1500)];
      }
      if (problems.length === 0) passed++;
      else {
        failures++;
        console.log(`FAIL ${precision} ${item.name}\n     ${problems.join('\n     ')}`);
      }
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: 12 }, worker));
  console.log(
    `${precision}: ${passed} of ${chosen.length} cases passed in ${((performance.now() - start) / 1000).toFixed(1)} s; largest error ${worst[0].toExponential(2)} (${worst[1]})`,
  );
}
process.exit(failures > 0 ? 1 : 0);
