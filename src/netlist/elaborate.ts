// From modules to one network: the common back half of the BLIF and Verilog readers. A module is a set of named one-bit nets, each
// driven by a function of other nets or by the output of an instance of another module; elaboration flattens them, in any order of
// definition, into gates.
// Invariant: each net is built once, after everything it depends on; undriven nets, combinational loops, recursive instances and
// unknown ports end in a located diagnostic. No recursion of our own: a chain of very many gates is fine.

import { didYouMean, type Place, type SourceText } from './diagnostics.ts';
import { Network, type Signal, ZERO } from './network.ts';

export interface NamedNet extends Place {
  readonly net: string;
}

/** A net's value as a function of other nets, given as the gates to add. */
export interface FunctionDriver extends Place {
  readonly kind: 'function';
  readonly inputs: readonly string[];
  readonly build: (network: Network, inputs: readonly Signal[]) => Signal;
}

export interface Instance extends Place {
  readonly module: string;
  /** Formal port → net of the instantiating module. */
  readonly connections: ReadonlyMap<string, NamedNet>;
}

interface InstanceDriver extends Place {
  readonly kind: 'instance';
  readonly instance: Instance;
  readonly port: string;
}

type Driver = FunctionDriver | InstanceDriver;

export class Module {
  readonly name: string;
  /** In the order of declaration, by net. */
  readonly inputs = new Map<string, NamedNet>();
  readonly outputs = new Map<string, NamedNet>();
  readonly instances: Instance[] = [];
  readonly drivers = new Map<string, Driver>();
  /** The first use of each net, for diagnostics. */
  readonly uses = new Map<string, Place>();

  constructor(name: string) {
    this.name = name;
  }

  /** Names a net's driver; a second driver is an error. */
  drive(source: SourceText, net: string, driver: Driver): void {
    const input = this.inputs.get(net);
    const other = input ?? this.drivers.get(net);
    if (other) {
      source.fail(
        driver,
        `net "${net}" is driven twice`,
        `one driver; ${input ? 'it is an input, declared' : 'it is driven already'} at line ${other.line}`,
      );
    }
    this.drivers.set(net, driver);
  }

  use(net: string, place: Place): void {
    if (!this.uses.has(net)) this.uses.set(net, place);
  }
}

export interface ElaborationOptions {
  /** Undriven nets are the constant 0 instead of an error. */
  readonly lenient: boolean;
}

export interface Elaborated {
  readonly network: Network;
  /** Nets without a driver that were taken as 0. */
  readonly undriven: readonly string[];
  /** Modules that no other instantiates, in their order in the file; the circuit is one of them. */
  readonly roots: readonly string[];
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
const MAX_GATES = 1_000_000;

export function elaborate(
  source: SourceText,
  modules: ReadonlyMap<string, Module>,
  root: Module,
  options: ElaborationOptions,
): Elaborated {
  const undriven: string[] = [];
  for (const module of modules.values()) {
    connectInstances(source, module, modules, options);
    for (const net of completeDrivers(source, module, options)) {
      undriven.push(module === root ? net : `${module.name}.${net}`);
    }
  }
  const network = new Network(root.name);
  let instances = 0;
  const scope = newScope(root, root.name, null);
  for (const port of root.inputs.values()) scope.signals.set(port.net, network.addInput(port.net));
  for (const port of root.outputs.values()) network.addOutput(port.net, resolve({ scope, net: port.net }));
  const instantiated = new Set([...modules.values()].flatMap((module) => module.instances.map((one) => one.module)));
  const roots = [...modules.keys()].filter((name) => !instantiated.has(name));
  return { network, undriven, roots };

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
    if (driver) return [{ scope: child(scope, driver.instance), net: driver.port }];
    const outer = scope.parent?.instance.connections.get(net);
    return outer ? [{ scope: scope.parent!.scope, net: outer.net }] : [];
  }

  function build({ scope, net }: NetOfScope, sources: readonly Signal[]): Signal {
    const driver = scope.module.drivers.get(net);
    if (network.nodes.length > MAX_GATES) {
      source.fail(driver ?? source.end, `more than ${MAX_GATES} gates`, 'a smaller circuit');
    }
    if (driver?.kind === 'function') return driver.build(network, sources);
    return sources[0] ?? ZERO; // an instance's output, a connected input, or (lenient) an open one
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
    const created = newScope(modules.get(instance.module)!, path, { scope, instance });
    scope.children.set(instance, created);
    return created;
  }
}

function newScope(module: Module, path: string, parent: Scope['parent']): Scope {
  return { module, path, depth: parent ? parent.scope.depth + 1 : 0, parent, children: new Map(), signals: new Map() };
}

/** Checks the ports of a module's instances and makes their outputs drivers. */
function connectInstances(
  source: SourceText,
  module: Module,
  modules: ReadonlyMap<string, Module>,
  options: ElaborationOptions,
): void {
  for (const instance of module.instances) {
    const target = modules.get(instance.module);
    if (!target) {
      source.fail(
        instance,
        `unknown module "${instance.module}"${didYouMean(instance.module, modules.keys())}`,
        `one defined in this file: ${[...modules.keys()].join(', ')}`,
      );
    }
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
    const open = options.lenient ? undefined : [...inputs.values()].find((port) => !instance.connections.has(port.net));
    if (open)
      source.fail(instance, `input "${open.net}" of "${target.name}" is not connected`, 'a net for every input');
  }
}

/** Finds the used nets that nothing drives: an error, or (lenient) driven by 0 and returned. */
function completeDrivers(source: SourceText, module: Module, options: ElaborationOptions): string[] {
  const driven = new Set([...module.inputs.keys(), ...module.drivers.keys()]);
  const undriven = [...module.uses].filter(([net]) => !driven.has(net));
  for (const [net, { line, column }] of undriven) {
    if (!options.lenient) {
      source.fail(
        { line, column },
        `net "${net}" of "${module.name}" has no driver${didYouMean(net, driven)}`,
        'an input, a function or an instance that drives it (the lenient reading takes it as 0)',
      );
    }
    module.drive(source, net, { kind: 'function', inputs: [], build: () => ZERO, line, column });
  }
  return undriven.map(([net]) => net);
}

function placeOf({ line, column }: Place): Place {
  return { line, column };
}
