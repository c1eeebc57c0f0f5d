// The network of a run for the page: its graph, what its layers came to, and how much each hurts where that was
// measured beside the run.

import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { networkGraph } from '../flow/results/network-graph.ts';
import { layerSummaries } from '../flow/results/summarize.ts';
import type { SensitivityReport } from '../flow/sensitivity/report.ts';
import { sensitivityFolder } from '../flow/sensitivity/sensitivity.ts';
import { sensitivityFiles } from '../flow/try/folder.ts';
import { readJson } from '../tensor/files.ts';
import type { NetworkView } from './api.ts';
import { multipliersOfRun } from './explore.ts';
import type { Library } from './library.ts';

export function networkView(library: Library, name: string): NetworkView {
  const manifest = library.manifest(name);
  return {
    graph: networkGraph(manifest),
    layers: layerSummaries(manifest, manifest.phases.map?.multipliers ?? []),
    multipliers: multipliersOfRun(library, name),
    // What lies beside the served folder is not the page's.
    sensitivity: name === '.' ? null : sensitivityBeside(library.runFolder(name)),
  };
}

function sensitivityBeside(run: string): NetworkView['sensitivity'] {
  const path = join(sensitivityFolder(run), sensitivityFiles.json);
  if (!existsSync(path)) return null;
  const report = readJson(path) as Partial<SensitivityReport> | null;
  if (report?.format !== 'tram-sensitivity' || !report.layers || !report.treated) return null;
  const { treated, layers } = report;
  // A file of a multiplier by its name: where it lay is nobody's business.
  const named = treated.kind === 'quantized' ? treated : { ...treated, multiplier: basename(treated.multiplier) };
  return { treated: named, layers };
}
