// From a graph to a list of steps over storage that was laid out once: dead nodes dropped, values whose lives do not
// overlap share bytes of an arena, an operation writes over an input that dies there when its rule allows, renames are
// free, and an assigned value is produced in its variable's own storage when nothing reads the old value later. No
// memory is allocated while a program runs.
// Invariant: between two runs nothing in the arena is needed, so programs that never run at once can share one. What
// outlives a run is elsewhere: variables, constants, and the inputs and outputs, which the host writes before a run and
// reads after it.

import { byteSize, sameShape, sizeOf } from '../../tensor/tensor.ts';
import { Arena, aligned, type InArena } from './arena.ts';
import type { Formula } from './formula.ts';
import type { Graph, Node, Value } from './graph.ts';
import { joinFormulas } from './join.ts';
import { inPlace } from './ops.ts';
import { isRename } from './renames.ts';

/** Where the bytes of a value are. */
export type Storage =
  | { readonly region: 'variable'; readonly name: string }
  | { readonly region: 'constant'; readonly index: number }
  /**
   * Memory of this program alone: its inputs, which may stay for several runs, and behind them its outputs, which may
   * be read late.
   */
  | { readonly region: 'own'; readonly offset: number }
  /** Memory whose bytes mean something only while the program runs. */
  | InArena;

export interface Step {
  readonly node: Node;
  readonly inputs: readonly Storage[];
  readonly outputs: readonly Storage[];
  /** Scratch bytes of this step alone, where the backend asked for some. */
  readonly workspace: Storage | undefined;
  /** Where what the backend prepares for this step is; the step makes it where it `isNew`, else an earlier one has. */
  readonly prepared?: { readonly storage: Storage; readonly isNew: boolean };
}

/** What a backend's kernel makes of a value before its own work: those of one value and form are the same bytes. */
export interface Prepared {
  readonly of: Value;
  readonly form: string;
  readonly bytes: number;
}

export interface Copy {
  readonly from: Storage;
  readonly to: Storage;
  readonly of: Value;
}

/** What the backend's kernel for a node writes beside its outputs, for its kernels of later nodes. */
export interface Handed {
  readonly value: Value;
  readonly by: Node;
  readonly to: readonly Node[];
}

export interface Plan {
  readonly graph: Graph;
  readonly steps: readonly Step[];
  readonly handed: readonly Handed[];
  /**
   * Values of variables from before the run that are read after it, or assigned to others; done after the last step.
   */
  readonly snapshots: readonly Copy[];
  /** Assignments that could not be produced in place; done after the snapshots. */
  readonly copies: readonly Copy[];
  readonly arenaBytes: number;
  readonly ownBytes: number;
  /** Where the outputs begin in the program's own memory. */
  readonly inputBytes: number;
  /** Where a value is while the program runs. */
  readonly storage: (value: Value) => Storage;
  /** Where the host reads an output of the graph. */
  readonly outputStorage: (value: Value) => Storage;
  /**
   * The last step at which a value's bytes are certainly its own; one behind the last for what the program keeps and
   * for what no step writes over.
   */
  readonly heldUntil: (value: Value) => number;
}

export interface PlanOptions {
  /** Alignment of every offset, a power of two. */
  readonly alignment?: number;
  /** Scratch bytes that the backend's kernel for this node wants. */
  readonly workspaceBytes?: (node: Node) => number;
  /** Values that the backend's kernel for this node may read beside its inputs: they live as long. */
  readonly alsoReads?: (node: Node) => readonly Value[];
  /** Of the nodes of the steps, in their order, what is handed from one to others behind it; it lives as long. */
  readonly handed?: (nodes: readonly Node[]) => readonly Handed[];
  /** What the backend's kernel for this node prepares: the first of those that want the same makes it, for all. */
  readonly prepares?: (node: Node) => Prepared | undefined;
  /** Whether neighbouring formulas become one (join.ts); by default each stays a step. */
  readonly join?: boolean;
  /**
   * Steps that pass before bytes that became free are used again, default 0. Where independent steps may run at the
   * same time, those that share bytes must wait for each other: more distance is more freedom and more memory.
   */
  readonly reuseDistance?: number;
  /** Bytes that may rest so at once, default without limit: beyond, those that have rested longest are used again. */
  readonly restingBytes?: number;
}

/** The value whose storage this one shares: follows renames to their source. */
export function root(value: Value): Value {
  let at = value;
  while (at.source.kind === 'node' && isRename(at.source.node)) at = at.source.node.inputs[0]!;
  return at;
}

function liveNodes(graph: Graph): Node[] {
  const needed = new Set<Node>();
  const visit = [...graph.outputs.values(), ...graph.assignments.values()];
  for (let value = visit.pop(); value; value = visit.pop()) {
    if (value.source.kind !== 'node' || needed.has(value.source.node)) continue;
    needed.add(value.source.node);
    visit.push(...value.source.node.inputs);
  }
  return graph.nodes.filter((node) => needed.has(node));
}

export function plan(graph: Graph, options: PlanOptions = {}): Plan {
  const { alignment = 64, reuseDistance = 0, restingBytes = Number.POSITIVE_INFINITY } = options;
  const live = liveNodes(graph);
  const kept = new Set([...graph.outputs.values(), ...graph.assignments.values()]);
  const nodes = (options.join ? joinFormulas(live, kept) : live).filter((node) => !isRename(node));
  const handed = options.handed?.(nodes) ?? [];
  const handedTo = (node: Node) => handed.flatMap(({ value, to }) => (to.includes(node) ? [value] : []));
  const readBy = (node: Node) => [...node.inputs, ...(options.alsoReads?.(node) ?? []), ...handedTo(node)].map(root);
  const lastUse = new Map<Value, number>();
  nodes.forEach((node, at) => {
    for (const value of readBy(node)) lastUse.set(value, at);
  });
  const preparations = preparationsOf(nodes, options);
  const end = nodes.length;
  for (const value of [...graph.outputs.values(), ...graph.assignments.values()]) lastUse.set(root(value), end);

  const storage = new Map<Value, Storage>();
  const arena = new Arena(alignment);
  for (const value of graph.variables.values()) {
    storage.set(value, { region: 'variable', name: (value.source as { name: string }).name });
  }
  graph.constants.forEach((value, index) => {
    storage.set(value, { region: 'constant', index });
  });
  let ownBytes = 0;
  const own = (value: Value): Storage => {
    const offset = ownBytes;
    ownBytes += aligned(byteSize(value), alignment);
    return { region: 'own', offset };
  };
  for (const value of graph.inputs.values()) storage.set(value, own(value));
  const inputBytes = ownBytes;
  const before = new Map<Value, Storage>();
  const changes = ({ source }: Value) => source.kind === 'variable' && graph.assignments.has(source.name);
  for (const value of new Set([...graph.outputs.values()].map(root))) {
    if (value.source.kind === 'node') storage.set(value, own(value));
    if (value.source.kind === 'variable') before.set(value, own(value));
  }
  for (const [name, assigned] of graph.assignments) {
    const value = root(assigned);
    if (changes(value) && value !== graph.variables.get(name) && !before.has(value)) before.set(value, own(value));
  }

  const assignedTo = new Map<Value, string>();
  for (const [name, value] of graph.assignments) assignedTo.set(value, name);
  const steps: Step[] = [];
  const overwritten = new Set<Value>();
  const resting: { readonly place: InArena; readonly until: number }[] = [];
  let atRest = 0;

  nodes.forEach((node, at) => {
    while (resting.length > 0 && (resting[0]!.until <= at || atRest > restingBytes)) {
      atRest -= arena.free(resting.shift()!.place);
    }
    const release = (place: InArena) => {
      resting.push({ place, until: at + 1 + reuseDistance });
      atRest += arena.sizeOf(place);
    };
    const taken = new Set<Value>();
    for (const [index, output] of node.outputs.entries()) {
      if (storage.has(output)) continue;
      const over = overwritable(node, index)
        .map((input) => root(node.inputs[input]!))
        .find((value) => {
          if (taken.has(value) || sizeOf(value.shape) !== sizeOf(output.shape) || lastUse.get(value) !== at)
            return false;
          const readElsewhere = node.inputs.filter((input) => root(input) === value).length > 1;
          const place = storage.get(value)!;
          const dies = place.region === 'arena';
          const becomes = place.region === 'variable' && assignedTo.get(output) === place.name;
          return !readElsewhere && (dies || becomes);
        });
      if (over) {
        storage.set(output, storage.get(over)!);
        taken.add(over);
        overwritten.add(over);
        continue;
      }
      storage.set(output, arena.allocate(byteSize(output)));
    }
    for (const { value, by } of handed) if (by === node) storage.set(value, arena.allocate(byteSize(value)));
    const scratch = options.workspaceBytes?.(node) ?? 0;
    const workspace = scratch > 0 ? arena.allocate(scratch) : undefined;
    const preparation = preparations[at];
    const isNew = preparation?.first === at;
    if (isNew) preparation.place = arena.allocate(preparation.bytes);
    steps.push({
      node,
      inputs: node.inputs.map((value) => storage.get(root(value))!),
      outputs: node.outputs.map((value) => storage.get(value)!),
      workspace,
      ...(preparation && { prepared: { storage: preparation.place!, isNew } }),
    });
    if (workspace) release(workspace);
    if (preparation?.last === at) release(preparation.place!);
    for (const value of new Set([...readBy(node), ...node.outputs])) {
      const place = storage.get(value)!;
      const dead = (lastUse.get(value) ?? at) <= at && !taken.has(value);
      if (dead && place.region === 'arena') release(place);
    }
  });

  const placeOf = (value: Value): Storage => storage.get(root(value))!;
  const copies = [...graph.assignments].flatMap(([name, value]): Copy[] => {
    const place = placeOf(value);
    if (place.region === 'variable' && place.name === name) return [];
    const from = before.get(root(value)) ?? place;
    return [{ from, to: { region: 'variable', name }, of: value }];
  });
  return {
    ...{ graph, steps, handed, copies, ownBytes, inputBytes },
    snapshots: [...before].map(([value, to]) => ({ from: placeOf(value), to, of: value })),
    arenaBytes: arena.layOut(),
    storage: placeOf,
    outputStorage: (value) => before.get(root(value)) ?? placeOf(value),
    heldUntil: (value) => {
      const of = root(value);
      return placeOf(of).region === 'arena' || overwritten.has(of) ? (lastUse.get(of) ?? -1) : end;
    },
  };
}

interface Preparation {
  readonly bytes: number;
  /** The steps that want it, first and last. */
  readonly first: number;
  last: number;
  place?: InArena;
}

/** For each node what is prepared for it, one object for all that share it. */
function preparationsOf(nodes: readonly Node[], { prepares }: PlanOptions): (Preparation | undefined)[] {
  const known = new Map<Value, Map<string, Preparation>>();
  return nodes.map((node, at) => {
    const prepared = prepares?.(node);
    if (!prepared) return undefined;
    const { of, form, bytes } = prepared;
    const forms = known.get(root(of)) ?? new Map<string, Preparation>();
    known.set(root(of), forms);
    const shared = forms.get(form) ?? { bytes, first: at, last: at };
    forms.set(form, shared);
    shared.last = at;
    return shared;
  });
}

/** The inputs whose storage an output may take. */
function overwritable({ op, attributes, inputs }: Node, output: number): readonly number[] {
  const input = inPlace[op]?.[output];
  if (input !== undefined) return [input];
  if (op === 'allReduce') return [output];
  if (op !== 'formula') return [];
  const { shape, outputs } = attributes as Formula;
  const ofElements = inputs.flatMap((value, index) => (sameShape(value.shape, shape) ? [index] : []));
  return outputs[output]!.per === 'element' ? ofElements : [];
}
