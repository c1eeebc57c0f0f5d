// What can be found out about the installation: versions, the data that ships with the program, and which devices
// compute.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Graph } from '../../engine/graph/graph.ts';
import { readBytes, readJson, sha256 } from '../../tensor/files.ts';
import { type DeviceName, openBackend } from '../run/device.ts';
import type { Trial } from './machine.ts';

const packageFile = fileURLToPath(new URL('../../../package.json', import.meta.url));

interface PackageJson {
  readonly engines: { readonly node: string };
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

/** Node's least version for this program, such as "20.19". */
export function requiredNode(): string {
  return (readJson(packageFile) as PackageJson).engines.node.replace(/^\D+/, '');
}

/** Whether a version such as "20.20.2" is at least another. */
export function atLeast(version: string, least: string): boolean {
  const wanted = least.split('.').map(Number);
  const found = version.split('.').map(Number);
  for (const [k, part] of wanted.entries()) {
    if ((found[k] ?? 0) !== part) return (found[k] ?? 0) > part;
  }
  return true;
}

export interface LibraryVersion {
  readonly name: string;
  /** Null where it is missing. */
  readonly version: string | null;
  /** Only some things need it: a GPU, or figures as PNG and PDF. */
  readonly optional: boolean;
}

/** Each library that the program depends on, as the package says, with the version that is installed. */
export function libraryVersions(): LibraryVersion[] {
  const { dependencies, optionalDependencies } = readJson(packageFile) as PackageJson;
  const require = createRequire(import.meta.url);
  const versionOf = (name: string) => {
    const folders = require.resolve.paths(name) ?? [];
    const found = folders.map((folder) => join(folder, name, 'package.json')).find((path) => existsSync(path));
    return found ? (readJson(found) as { version: string }).version : null;
  };
  return [
    ...Object.keys(dependencies).map((name) => ({ name, version: versionOf(name), optional: false })),
    ...Object.keys(optionalDependencies).map((name) => ({ name, version: versionOf(name), optional: true })),
  ];
}

const DIGITS_SHA256 = '09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22';

/** The data set that ships with the program, and whether it is unchanged. */
export function embeddedData(): Trial & { readonly path: string } {
  const path = fileURLToPath(new URL('../../../data/digits.csv.gz', import.meta.url));
  if (!existsSync(path)) return { path, works: false, detail: 'the file is missing; install the program again' };
  const found = sha256(readBytes(path));
  if (found === DIGITS_SHA256) return { path, works: true, detail: `SHA-256 ${found.slice(0, 12)}…` };
  return {
    path,
    works: false,
    detail: `changed: SHA-256 ${found.slice(0, 12)}…, expected ${DIGITS_SHA256.slice(0, 12)}…`,
  };
}

/** Computes a dot product on a device. */
export async function tryDevice(name: DeviceName): Promise<Trial> {
  try {
    const backend = await openBackend({ name });
    const session = await backend.openSession();
    try {
      const graph = new Graph();
      const vector = graph.input('x', [4]);
      graph.output('y', graph.apply1('dot', [vector, vector], {}));
      const program = await session.compile(graph);
      program.write('x', Float32Array.of(1, 2, 3, 4));
      await program.run();
      const [sum] = await program.read('y');
      if (sum !== 30) return { works: false, detail: `1² + 2² + 3² + 4² came out as ${sum}` };
      return { works: true, detail: backend.device.description };
    } finally {
      await session.dispose();
    }
  } catch (error) {
    return { works: false, detail: (error as Error).message };
  }
}
