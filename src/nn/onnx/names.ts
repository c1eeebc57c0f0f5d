// What layers and tensors of an ONNX graph are called: as the module that was exported, where the file tells it.
// PyTorch keeps names of parameters (`layer1.0.conv1.weight`), unless it folded a batch norm into them; nodes are
// called by the way to their module (`/layer1/layer1.0/conv1/Conv`) since version 1.13. Other names are taken as they
// are.
// Invariant: no two layers have one name, and every name is one that Layers takes.

import type { OnnxNode } from '../../onnx/graph.ts';

/** Longest name that is taken from a file. */
const LONGEST = 120;

/** Blanks, commas and * would mean something in settings, control characters in a terminal. */
export function cleaned(name: string): string {
  const clean = name.replace(/[\s\p{Cc}\u202a-\u202e\u2066-\u2069,*#]+/gu, '_').slice(0, LONGEST);
  return clean === '_' ? '' : clean;
}

/** Whether an exporter made a name up for what it computed. */
const isMadeUp = (name: string): boolean => name === '' || name.includes('::') || /^\d+$/.test(name);

/** The module that a node belongs to: '/layer1/layer1.0/conv1/Conv' is of layer1.0.conv1; '' where no name says it. */
export function moduleOf({ name }: Pick<OnnxNode, 'name'>): string {
  if (!name.startsWith('/')) return '';
  let path = '';
  let last = '';
  for (const part of name.split('/').slice(1, -1)) {
    // A part of a container repeats the container's name.
    if (last !== '' && part.startsWith(`${last}.`)) path = path.slice(0, path.length - last.length) + part;
    else path = path === '' ? part : `${path}.${part}`;
    last = part;
  }
  return cleaned(path);
}

/**
 * The name of a node's layer; `weight`: the initialiser of its weights, where that is no other layer's too (exporters
 * keep equal ones once).
 */
export function layerName(node: OnnxNode, weight: string | undefined): string {
  const stored = /^(.+)\.weight$/.exec(weight ?? '')?.[1];
  const module = moduleOf(node) || (stored === undefined || isMadeUp(stored) ? '' : cleaned(stored));
  const own = module || cleaned(node.name.replace(/^\//, '')) || cleaned((weight ?? '').replace(/::/g, '.'));
  return own || cleaned(node.op).toLowerCase() || 'layer';
}

/** The name of a tensor that is no layer's. */
export function tensorName(node: OnnxNode, initialiser: string): string {
  const clean = cleaned(initialiser);
  if (!isMadeUp(initialiser) && clean !== '') return clean;
  const module = moduleOf(node);
  const what = cleaned(node.op).toLowerCase();
  return module === '' ? `${what}.constant` : `${module}.${what}`;
}

/** Names that are taken, and others made of them. */
export class Names {
  readonly #taken = new Set<string>();

  /** The name, or with a number behind it the first that nobody has. */
  unique(name: string): string {
    let free = name;
    for (let k = 2; this.#taken.has(free); k++) free = `${name}_${k}`;
    this.#taken.add(free);
    return free;
  }
}
