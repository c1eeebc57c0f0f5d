// Published checkpoints as the start of a run: a quantised one gives the published accuracy and logits, is neither
// trained nor calibrated, and phase 1 goes on from it. Needs the reference files beside the repository.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { trainingBatches } from '../../src/data/batches.ts';
import type { Dataset } from '../../src/data/dataset.ts';
import { datasetOf } from '../../src/data/memory.ts';
import type { Backend } from '../../src/engine/backend.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { loadModel } from '../../src/flow/run/checkpoint.ts';
import { readFloatModel } from '../../src/flow/run/float-model.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { readSafetensors } from '../../src/tensor/safetensors.ts';

const shared = fileURLToPath(new URL('../../../shared/', import.meta.url));
const reference = join(shared, 'reference/pytorch/');
const parent = mkdtempSync(join(tmpdir(), 'tram-checkpoints-'));
afterAll(() => rmSync(parent, { recursive: true }));

/** Rows 0 … 1436 to train and 1437 … 1796 to test, pixels / 16 and not normalised, as the reference files were made. */
function digits(): Dataset {
  const text = gunzipSync(readFileSync(join(shared, 'data/digits.csv.gz'))).toString();
  const rows = text.trim().split('\n').map((line) => line.split(',').map(Number));
  const part = (from: number, to: number) => ({
    images: Uint8Array.from(rows.slice(from, to).flatMap((row) => row.slice(0, 64))),
    labels: rows.slice(from, to).map((row) => row[64]!),
  });
  const size = { height: 8, width: 8, channels: 1, maximum: 16 };
  const dataset = datasetOf({ name: 'rows', ...size, train: part(0, 1437), test: part(1437, 1797) });
  return { ...dataset, mean: [0], deviation: [1] };
}
