// A module as the readers of BLIF and Verilog leave it for elaboration: named one-bit nets, each driven by a function
// of other nets or by the output of an instance. Library cells are modules, too.
// Invariant: a net has one driver; the second is a located error that names the first.

import type { Place, SourceText } from './diagnostics.ts';
import type { Network, Signal } from './network.ts';

export interface NamedNet extends Place {
  readonly net: string;
}

export interface ModulePort extends NamedNet {
  /** As a port of the circuit, by its significance in its bus; the net's own name where it is absent. */
  readonly name?: string;
}

/** A net's value as a function of other nets, given as the gates to add. */
export interface FunctionDriver extends Place {
  readonly kind: 'function';
  readonly inputs: readonly string[];
  readonly build: (network: Network, inputs: readonly Signal[]) => Signal;
  /** Gates that it adds at most; 1 where it is absent. */
  readonly gates?: number;
}

export interface Instance extends Place {
  readonly module: string;
  /** Formal port → net of the instantiating module. */
  readonly connections: ReadonlyMap<string, NamedNet>;
}

/** A net that nothing drives: an error as soon as an output needs it. */
interface MissingDriver extends Place {
  readonly kind: 'missing';
}

interface InstanceDriver extends Place {
  readonly kind: 'instance';
  readonly instance: Instance;
  readonly port: string;
}

export type Driver = FunctionDriver | InstanceDriver | MissingDriver;

export class Module {
  readonly name: string;
  /** In the order of declaration, by net. */
  readonly inputs = new Map<string, ModulePort>();
  readonly outputs = new Map<string, ModulePort>();
  readonly instances: Instance[] = [];
  readonly drivers = new Map<string, Driver>();
  /** The first use of each net, for diagnostics. */
  readonly uses = new Map<string, Place>();
  /** Declared without its contents, as a black box is. */
  hollow = false;
  /** Why it is no combinational circuit, for a circuit that needs it; a model that nothing uses may hold storage. */
  refusal: ({ readonly found: string; readonly expected: string } & Place) | null = null;

  /** Where its name stands. */
  readonly place: Place;

  constructor(name: string, place: Place = { line: 1, column: 1 }) {
    this.name = name;
    this.place = place;
  }

  /** Names a net's driver; a second driver is an error. */
  drive(source: SourceText, net: string, driver: Driver): void {
    const input = this.inputs.get(net);
    const other = input ?? this.drivers.get(net);
    if (other) {
      source.fail(
        driver,
        `${net.includes(' ') ? 'an expression' : `net "${net}"`} is driven twice`,
        `one driver; ${input ? 'it is an input, declared' : 'it is driven already'} at line ${other.line}`,
      );
    }
    this.drivers.set(net, driver);
  }

  use(net: string, place: Place): void {
    if (!this.uses.has(net)) this.uses.set(net, place);
  }
}
