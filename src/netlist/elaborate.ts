// From modules to one network: the common back half of the BLIF and Verilog readers. Elaboration flattens modules, in
// any order of definition, into gates; what no output needs is left out.
// Invariant: each net is built once, after everything it depends on; undriven nets that are needed, combinational
// loops, recursive instances and unknown ports end in a located diagnostic. No recursion of our own: a chain of very
// many gates is fine.

import { UserError } from '../tensor/errors.ts';
import { clipped, printable } from '../tensor/names.ts';
import { gateCell } from './cells.ts';
import { didYouMean, type Place, type SourceText } from './diagnostics.ts';
import type { Instance, Module } from './module.ts';
import { Network, type Signal, ZERO } from './network.ts';
import { hasMultiplierPorts } from './ports.ts';

/** Cells that a netlist may instantiate without defining them. */
export interface CellLibrary {
  /**
   * The module of a cell of that name with those pins; undefined for a name that is none; a text that says why there is
   * none where that is known.
   */
  readonly cell: (name: string, pins: Iterable<string>) => Module | string | undefined;
  /** The ending of "expected one defined in this file …". */
  readonly otherwise: string;
}

export interface ElaborationOptions {
  /** Undriven nets are the constant 0 instead of an error, and the first of several roots is the circuit. */
  readonly lenient?: boolean;
  /** The module that is the circuit; by default the only one that no other instantiates. */
  readonly top?: string;
  readonly cells?: CellLibrary;
}

export interface Elaborated {
  readonly network: Network;
  /** Nets without a driver that were taken as 0. */
  readonly undriven: readonly string[];
  /**
   * Modules that no other instantiates, in their order in the file, unless the circuit was named; the circuit is one of
   * them.
   */
  readonly roots: readonly string[];
  /** What was read in a way that its author may not expect, a sentence each. */
  readonly notes: readonly string[];
}

/** One instance of a module in the hierarchy; the root has no parent. */
interface Scope {
  readonly module: Module;
  readonly path: string;
  readonly depth: number;
  readonly parent: { readonly scope: Scope; readonly instance: Instance } | null;
  readonly children: Map<Instance, Scope>;
  readonly signals: Map<string, Signal | 'pending'>;
}

interface NetOfScope {
  readonly scope: Scope;
  readonly net: string;
}

const MAX_DEPTH = 100;
const MAX_INSTANCES = 100_000;
/** Gates of the flattened circuit: a hierarchy multiplies what a short text can ask for. */
export const MAX_GATES = 1_000_000;

/** Throws a located UserError. */
export function elaborate(
  source: SourceText,
  modules: ReadonlyMap<string, Module>,
  options: ElaborationOptions = {},
): Elaborated {
  const { root, roots } = rootOf(source, modules, options);
  const definitions = connectHierarchy(source, modules, root, options);
  const undriven: string[] = [];
  for (const module of new Set(definitions.values())) {
    for (const net of completeDrivers(source, module, options)) {
      undriven.push(module === root ? net : `${module.name}.${net}`);
    }
  }
  const network = new Network(root.name);
  let instances = 0;
  const scope = newScope(root, root.name, null);
  for (const port of root.inputs.values()) scope.signals.set(port.net, network.addInput(port.name ?? port.net));
  for (const port of root.outputs.values()) {
    network.addOutput(port.name ?? port.net, resolve({ scope, net: port.net }));
  }
  const notes = [...unusedBoxes(modules, definitions), ...(options.lenient ? [] : deadNetsNote(undriven))];
  return { network, undriven, roots, notes };

  /** Builds a net and all it depends on, depth first with an explicit stack. */
  function resolve(wanted: NetOfScope): Signal {
    const stack = [wanted];
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const known = top.scope.signals.get(top.net);
      if (typeof known === 'number') {
        stack.pop();
        continue;
      }
      const sources = dependencies(top);
      const missing = sources.filter((one) => typeof one.scope.signals.get(one.net) !== 'number');
      if (missing.length === 0) {
        top.scope.signals.set(
          top.net,
          build(
            top,
            sources.map((one) => one.scope.signals.get(one.net) as Signal),
          ),
        );
        stack.pop();
        continue;
      }
      top.scope.signals.set(top.net, 'pending');
      const looping = missing.find((one) => one.scope.signals.get(one.net) === 'pending');
      if (looping) {
        const { drivers, uses } = looping.scope.module;
        source.fail(
          drivers.get(looping.net) ?? uses.get(looping.net) ?? source.end,
          `net "${looping.net}" of "${looping.scope.path}" depends on itself`,
          'a combinational netlist without loops',
        );
      }
      for (const one of missing) stack.push(one);
    }
    return wanted.scope.signals.get(wanted.net) as Signal;
  }

  function dependencies({ scope, net }: NetOfScope): NetOfScope[] {
    const driver = scope.module.drivers.get(net);
    if (driver?.kind === 'function') return driver.inputs.map((input) => ({ scope, net: input }));
    if (driver?.kind === 'instance') return [{ scope: child(scope, driver.instance), net: driver.port }];
    if (driver) return needMissing(scope, net, driver);
    const outer = scope.parent?.instance.connections.get(net);
    return outer ? [{ scope: scope.parent!.scope, net: outer.net }] : [];
  }

  function build({ scope, net }: NetOfScope, sources: readonly Signal[]): Signal {
    const driver = scope.module.drivers.get(net);
    const gates = driver?.kind === 'function' ? (driver.gates ?? 1) : 0;
    if (network.nodes.length + gates > MAX_GATES) {
      source.fail(driver ?? source.end, `more than ${MAX_GATES} gates`, 'a smaller circuit');
    }
    if (driver?.kind === 'function') return driver.build(network, sources);
    return sources[0] ?? ZERO; // an instance's output, a connected input, or (lenient) an open one
  }

  function needMissing({ module }: Scope, net: string, place: Place): never {
    const driven = [...module.inputs.keys(), ...module.drivers.keys()].filter((name) => name !== net);
    return source.fail(
      place,
      module.hollow
        ? `"${module.name}" is a black box, declared without its contents`
        : `net "${net}" of "${module.name}" has no driver${didYouMean(net, driven)}`,
      module.hollow
        ? 'its function, as a module or a cell of a library (--liberty FILE)'
        : 'an input, a function or an instance that drives it (the lenient reading takes it as 0)',
    );
  }

  function child(scope: Scope, instance: Instance): Scope {
    const known = scope.children.get(instance);
    if (known) return known;
    if (scope.depth >= MAX_DEPTH || ++instances > MAX_INSTANCES) {
      source.fail(
        instance,
        `"${instance.module}" in "${scope.path}" nests too deeply or too often`,
        `at most ${MAX_DEPTH} levels and ${MAX_INSTANCES} instances; no module may contain itself`,
      );
    }
    const path =
      scope.depth < 3 ? `${scope.path}/${instance.module}` : `${scope.path.split('/…/')[0]}/…/${instance.module}`;
    const created = newScope(definitions.get(instance.module)!, path, { scope, instance });
    scope.children.set(instance, created);
    return created;
  }
}

function newScope(module: Module, path: string, parent: Scope['parent']): Scope {
  return { module, path, depth: parent ? parent.scope.depth + 1 : 0, parent, children: new Map(), signals: new Map() };
}

/**
 * The module that is the circuit: the one asked for, else the only one that no other instantiates. Files carry helper
 * cells that nothing uses, so among several the only one with the ports of a multiplier is meant.
 */
function rootOf(
  source: SourceText,
  modules: ReadonlyMap<string, Module>,
  { top, lenient = false }: ElaborationOptions,
): { root: Module; roots: string[] } {
  if (top !== undefined) {
    const root = modules.get(top);
    if (root) return { root: withContents(source, root), roots: [top] };
    throw new UserError(noSuchModule(source.file, top, [...modules.keys()]));
  }
  const instantiated = new Set<string>();
  for (const { instances } of modules.values()) for (const one of instances) instantiated.add(one.module);
  const all = [...modules.values()];
  const full = all.filter(({ hollow }) => !hollow);
  const roots = full.filter(({ name }) => !instantiated.has(name));
  const chosen = chooseRoot(roots, portNames) ?? (lenient ? roots[0] : undefined);
  if (!chosen && roots.length > 1) {
    const names = roots.map(({ name }) => name).join(', ');
    source.fail(roots[1]!.place, `${roots.length} modules that no other instantiates: ${names}`, AMBIGUOUS);
  }
  const root = withContents(source, chosen ?? full[0] ?? all[0]!);
  return { root, roots: [root, ...roots.filter((one) => one !== root)].map(({ name }) => name) };
}

export const AMBIGUOUS = 'one, or --top NAME that says which is meant';

export function noSuchModule(file: string, top: string, names: readonly string[]): string {
  const known = clipped(names.join(', '), 500);
  return `${printable(file)}: no module "${clipped(top, 60)}"${didYouMean(top, names)}: expected one of ${known}`;
}

/** The only root, or the only one with the ports of a multiplier; undefined where there is none such. */
export function chooseRoot<T>(
  roots: readonly T[],
  ports: (root: T) => { readonly inputs: readonly string[]; readonly outputs: readonly string[] },
): T | undefined {
  if (roots.length === 1) return roots[0];
  const multipliers = roots.filter((root) => {
    const { inputs, outputs } = ports(root);
    return hasMultiplierPorts(inputs, outputs);
  });
  return multipliers.length === 1 ? multipliers[0] : undefined;
}

function portNames({ inputs, outputs }: Module) {
  const names = (ports: Module['inputs']) => [...ports.values()].map(({ name, net }) => name ?? net);
  return { inputs: names(inputs), outputs: names(outputs) };
}

function withContents(source: SourceText, root: Module): Module {
  const { name, place, hollow, outputs } = root;
  if (hollow) {
    source.fail(place, `"${name}" is a black box, declared without its contents`, 'a module with its gates');
  }
  if (outputs.size === 0) source.fail(place, `module "${name}" has no outputs`, 'at least one output');
  return root;
}

/** The modules that the circuit consists of, by the name that instances call them, with their instances connected. */
function connectHierarchy(
  source: SourceText,
  modules: ReadonlyMap<string, Module>,
  root: Module,
  options: ElaborationOptions,
): Map<string, Module> {
  const definitions = new Map([[root.name, root]]);
  for (const module of definitions.values()) {
    if (module.refusal) source.fail(module.refusal, module.refusal.found, module.refusal.expected);
    for (const instance of module.instances) {
      const target = definitions.get(instance.module) ?? definition(source, instance, modules, options.cells);
      definitions.set(instance.module, target); // a Map's iteration goes on to what is added
      connectInstance(source, module, instance, target, options.lenient ?? false);
    }
  }
  return definitions;
}

/** A module of the file, unless it is declared without contents and a cell has them. */
function definition(
  source: SourceText,
  instance: Instance,
  modules: ReadonlyMap<string, Module>,
  cells: CellLibrary | undefined,
): Module {
  const { module: name } = instance;
  const own = modules.get(name);
  if (own && !own.hollow) return own;
  const cell = cells?.cell(name, instance.connections.keys());
  const found = gateCell(name) ?? (typeof cell === 'string' ? undefined : cell) ?? own;
  if (found) return found;
  return source.fail(
    instance,
    typeof cell === 'string' ? cell : `unknown module "${name}"${didYouMean(name, modules.keys())}`,
    `one defined in this file: ${clipped([...modules.keys()].join(', '), 200)}${cells?.otherwise ?? ''}`,
  );
}

/** Checks the ports of an instance and makes its outputs drivers. */
function connectInstance(
  source: SourceText,
  module: Module,
  instance: Instance,
  target: Module,
  lenient: boolean,
): void {
  const { inputs, outputs } = target;
  for (const [port, actual] of instance.connections) {
    if (outputs.has(port)) module.drive(source, actual.net, { kind: 'instance', instance, port, ...placeOf(actual) });
    else if (inputs.has(port)) module.use(actual.net, actual);
    else {
      const ports = [...inputs.keys(), ...outputs.keys()];
      source.fail(
        actual,
        `"${target.name}" has no port "${port}"${didYouMean(port, ports)}`,
        `one of ${ports.join(', ')}`,
      );
    }
  }
  if (lenient) return;
  for (const port of inputs.values()) {
    if (!instance.connections.has(port.net)) {
      source.fail(instance, `input "${port.net}" of "${target.name}" is not connected`, 'a net for every input');
    }
  }
}

/** Finds the used nets that nothing drives; (lenient) they are driven by 0. */
function completeDrivers(source: SourceText, module: Module, { lenient }: ElaborationOptions): string[] {
  const undriven = [...module.uses].filter(([net]) => !module.inputs.has(net) && !module.drivers.has(net));
  for (const [net, { line, column }] of undriven) {
    const zero = { kind: 'function', inputs: [], build: () => ZERO, line, column } as const;
    module.drive(source, net, lenient ? zero : { kind: 'missing', line, column });
  }
  return module.hollow ? [] : undriven.map(([net]) => net);
}

function unusedBoxes(modules: ReadonlyMap<string, Module>, used: ReadonlyMap<string, Module>): string[] {
  const names = [...modules.values()].filter(({ name, hollow }) => hollow && !used.has(name)).map(({ name }) => name);
  return names.length === 0 ? [] : [`black boxes that nothing uses: left out (${clipped(names.join(', '), 200)})`];
}

const NAMED = 4;

/** Of nets that nothing drives and nothing needs. */
export function deadNetsNote(undriven: readonly string[]): string[] {
  if (undriven.length === 0) return [];
  const names = clipped(undriven.slice(0, NAMED).join(', '), 200);
  const more = undriven.length > NAMED ? ', …' : '';
  const what = undriven.length === 1 ? 'a net without a driver' : `${undriven.length} nets without drivers`;
  return [`${what} that no output needs: left out (${names}${more})`];
}

function placeOf({ line, column }: Place): Place {
  return { line, column };
}
