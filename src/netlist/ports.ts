// What the ports of a network mean when it is a multiplier: two operand buses and one product bus, each least
// significant bit first.
// The first bus in the order of the inputs is the first operand (the weight w), the second the activation x. Any names
// will do:
// `w[3]`, `IN1[3]`, `A3`, `A_3`, `A<3>`.

import { checkNetlistBits, MIN_OPERAND_BITS } from '../multiplier/widths.ts';
import { UserError } from '../tensor/errors.ts';
import { clipped } from '../tensor/names.ts';
import { type Network, type Port, relabelled, type Signal } from './network.ts';

export interface MultiplierPorts {
  readonly weight: readonly Signal[];
  readonly activation: readonly Signal[];
  readonly product: readonly Signal[];
}

/**
 * Bits of one bus, least significant first; `name` is the bus's name, and a port without an index is a bus of one bit.
 */
export interface Bus {
  readonly name: string;
  readonly indexed: boolean;
  readonly ports: readonly Port[];
}

/** Splits `IN1[3]` into `IN1` and 3; a name without an index has index null. */
export function splitPortName(name: string): { base: string; index: number | null } {
  const match = /^(.*?)(?:\[(\d{1,6})\]|<(\d{1,6})>|_?(\d{1,6}))$/s.exec(name);
  if (!match || match[1] === '') return { base: name, index: null };
  return { base: match[1]!, index: Number(match[2] ?? match[3] ?? match[4]) };
}

/**
 * Groups ports into buses, in the order of first appearance; a bus whose indices are not exactly 0..n−1 is left as
 * single ports.
 */
export function groupBuses(ports: readonly Port[]): Bus[] {
  const groups = new Map<string, { port: Port; index: number | null }[]>();
  for (const port of ports) {
    const { base, index } = splitPortName(port.name);
    const key = index === null ? port.name : base;
    const members = groups.get(key);
    if (members) members.push({ port, index });
    else groups.set(key, [{ port, index }]);
  }
  const buses: Bus[] = [];
  for (const [name, members] of groups) {
    const sorted = [...members].sort((a, b) => (a.index ?? 0) - (b.index ?? 0));
    if (sorted.every((member, position) => member.index === position)) {
      buses.push({ name, indexed: true, ports: sorted.map((member) => member.port) });
    } else {
      for (const { port } of members) buses.push({ name: port.name, indexed: false, ports: [port] });
    }
  }
  return buses;
}

/** Whether ports of these names are two operand buses of at least two bits and one product bus. */
export function hasMultiplierPorts(inputs: readonly string[], outputs: readonly string[]): boolean {
  const buses = (names: readonly string[]) => groupBuses(names.map((name) => ({ name, signal: 0 })));
  const [operands, products] = [buses(inputs), buses(outputs)];
  const wide = operands.every(({ ports }) => ports.length >= MIN_OPERAND_BITS);
  return operands.length === 2 && products.length === 1 && wide;
}

/**
 * Finds the operands and the product; throws a UserError naming the buses found when the network is not a multiplier.
 */
export function multiplierPorts(network: Network): MultiplierPorts {
  const operands = groupBuses(network.inputs);
  const products = groupBuses(network.outputs);
  const describe = (buses: readonly Bus[]) =>
    clipped(buses.map((bus) => `${clipped(bus.name, 60)} (${bus.ports.length})`).join(', ') || 'none', 500);
  const [weight, activation] = operands;
  if (!weight || !activation || operands.length !== 2 || products.length !== 1) {
    throw new UserError(
      `"${clipped(network.name, 60)}" is not a multiplier: its inputs form the buses ${describe(operands)} and its outputs ` +
        `${describe(products)}; expected two operand buses and one product bus with indices from 0`,
    );
  }
  checkNetlistBits(weight.ports.length, activation.ports.length);
  const product = products[0]!.ports;
  const most = weight.ports.length + activation.ports.length;
  if (product.length > most) {
    throw new UserError(
      `"${clipped(network.name, 60)}" has a product of ${product.length} bits: expected at most ${most}`,
    );
  }
  const signals = (ports: readonly Port[]) => ports.map((port) => port.signal);
  return { weight: signals(weight.ports), activation: signals(activation.ports), product: signals(product) };
}

/**
 * The multiplier whose first operand is this one's second: the input buses change places. Ports keep their names, but w
 * and x, which say what they are, change names as well.
 */
export function exchangeNetworkOperands(network: Network): Network {
  multiplierPorts(network);
  const [first, second] = groupBuses(network.inputs) as [Bus, Bus];
  const renamed = [first.name, second.name].sort().join() === 'w,x';
  const portsOf = (bus: Bus, name: string) =>
    bus.ports.map(({ name: old, signal }) => ({
      name: renamed ? `${name}${old.slice(bus.name.length)}` : old,
      signal,
    }));
  const inputs = [...portsOf(second, first.name), ...portsOf(first, second.name)];
  const exchanged = relabelled(network, network.name, inputs);
  exchanged.partialProducts.forEach(({ i, j, signal }, at, all) => {
    all[at] = { i: j, j: i, signal };
  });
  return exchanged;
}
