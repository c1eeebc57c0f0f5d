// Which paths the lowerings of a backend can take, and which case of the conformance suite takes each: collected from
// the lowerings' own decisions, for every operation of every case's graph, gradients included.

import type { Target } from '../../src/engine/cuda/lower/launch.ts';
import { ways as cudaWays, lowerOn } from '../../src/engine/cuda/lower/lowerings.ts';
import { pathsOf, planFor } from '../../src/engine/cuda/lower/program.ts';
import type { Graph } from '../../src/engine/graph/graph.ts';
import { namesOfPath, namesOfWays, type Path, type Ways } from '../../src/engine/graph/paths.ts';
import { plan } from '../../src/engine/graph/plan.ts';
import { lower, ways as wasmWays } from '../../src/engine/wasm/lower/lowerings.ts';
import type { Case } from './cases.ts';
import { graphOf } from './run-case.ts';

export interface Coverage {
  readonly op: string;
  readonly path: string;
  /** Cases that take it. */
  readonly cases: readonly string[];
}

/** What one step of a program runs, and how. */
export interface TakenPath {
  readonly op: string;
  readonly path: Path;
}

export function coverageOf(
  ways: Readonly<Record<string, Ways>>,
  cases: readonly Case[],
  pathsOf: (graph: Graph) => readonly TakenPath[],
): Coverage[] {
  const takers = new Map<string, Set<string>>();
  for (const item of cases) {
    for (const { op, path } of pathsOf(graphOf(item))) {
      for (const name of namesOfPath(path)) {
        const key = `${op}\n${name}`;
        // Cases of the operation itself come before those that meet it on their way.
        const before = [...(takers.get(key) ?? [])];
        takers.set(key, new Set(item.op === op ? [item.name, ...before] : [...before, item.name]));
      }
    }
  }
  const all = Object.entries(ways).flatMap(([op, list]) => namesOfWays(list).map((path) => ({ op, path })));
  const listed = new Set(all.map(({ op, path }) => `${op}\n${path}`));
  for (const key of takers.keys()) {
    if (!listed.has(key)) throw new Error(`a lowering takes a path that it does not list: ${key.replace('\n', ': ')}`);
  }
  return all.map(({ op, path }) => ({ op, path, cases: [...(takers.get(`${op}\n${path}`) ?? [])] }));
}

export const wasmCoverage = (cases: readonly Case[]): Coverage[] =>
  coverageOf(wasmWays, cases, (graph) =>
    plan(graph, { join: true }).steps.map(({ node }) => ({ op: node.op, path: lower(node).path })),
  );

/** On any of the given targets; see ./devices.ts for what the suite runs on. */
export const cudaCoverage = (cases: readonly Case[], targets: readonly Target[]): Coverage[] =>
  coverageOf(cudaWays, cases, (graph) =>
    targets.flatMap((target) => {
      const lower = lowerOn(target);
      return pathsOf(planFor(graph, lower), lower);
    }),
  );

/** A line per path: the case that covers it, and how many others do. */
export function tableOf(coverage: readonly Coverage[]): string {
  return coverage
    .map(({ op, path, cases: [first, ...others] }) => {
      const more = others.length > 0 ? ` (and ${others.length} more)` : '';
      return `${op}: ${path}\n    ${first === undefined ? 'NOT COVERED' : first + more}`;
    })
    .join('\n');
}
