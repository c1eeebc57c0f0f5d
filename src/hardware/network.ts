// A mapped netlist as a network of plain gates: every instance becomes the gates of its cells' functions, for the
// compiled simulation.
// Invariant: the network computes what the cells do; its structure says nothing about area or delay.

import type { BitFunctions } from '../netlist/compiled/network.ts';
import { Network, ONE, type Signal, ZERO } from '../netlist/network.ts';
import { invariant } from '../tensor/errors.ts';
import type { BooleanExpression } from './liberty/expression.ts';
import { inputNets, type MappedNetlist, outputNets } from './mapped.ts';

/** Bits of all input and output ports, port by port. */
export function bitFunctions(netlist: MappedNetlist): BitFunctions {
  const network = new Network(netlist.name);
  const signals = new Int32Array(netlist.netCount).fill(-1);
  signals[0] = ZERO;
  signals[1] = ONE;
  const inputs = inputNets(netlist).map((net) => {
    signals[net] = network.addInput(netlist.netNames[net]!);
    return signals[net]!;
  });
  for (const { cell, inputs: sources, outputs } of netlist.instances) {
    const pins = new Map(cell.inputs.map((pin, n) => [pin.name, signals[sources[n]!]!]));
    cell.outputs.forEach((pin, n) => {
      signals[outputs[n]!] = addExpression(network, pin.function, pins);
    });
  }
  const driven = outputNets(netlist).map((net) => {
    invariant(signals[net]! >= 0, `an output of "${netlist.name}" without a driver`);
    return signals[net]!;
  });
  return { network, inputs, outputs: driven };
}

/** Adds the gates of a cell's function; `pins` are the signals at its inputs. */
export function addExpression(
  network: Network,
  expression: BooleanExpression,
  pins: ReadonlyMap<string, Signal>,
): Signal {
  const stack: Signal[] = [];
  for (const operation of expression.program) {
    if (operation.kind === 'pin') stack.push(pins.get(operation.pin)!);
    else if (operation.kind === 'constant') stack.push(operation.value === 1 ? ONE : ZERO);
    else if (operation.kind === 'not') stack.push(network.addGate('not', stack.pop()!));
    else {
      const b = stack.pop()!;
      stack.push(network.addGate(operation.kind, stack.pop()!, b));
    }
  }
  return stack.pop()!;
}
