// Readable names for the nets of a network, the same in every written form: ports keep theirs, partial products are
// p_i_j, an adder's outputs carry its stage and column, other gates are n<signal>.
// Invariant: names are distinct, from each other and from the names of the ports.

import type { Network } from './network.ts';
import { ONE, ZERO } from './network.ts';
import { splitPortName } from './ports.ts';

/** The name of an adder: `fa_s2_c5_17` is the full adder of stage 2, column 5, the 17th that was created. */
export function adderName(adder: { kind: 'half' | 'full'; stage: number; column: number; id: number }): string {
  return `${adder.kind === 'full' ? 'fa' : 'ha'}_s${adder.stage}_c${adder.column}_${adder.id}`;
}

/** names[signal]; `inputName` gives the written form of an input's name. */
export function netNames(network: Network, inputName: (port: string) => string): string[] {
  const ports = [...network.inputs, ...network.outputs].flatMap((port) => [port.name, splitPortName(port.name).base]);
  const taken = new Set(ports);
  const names: string[] = [];
  const give = (signal: number, wanted: string) => {
    let name = wanted;
    while (taken.has(name)) name += '_';
    taken.add(name);
    names[signal] ??= name;
  };
  for (const port of network.inputs) names[port.signal] = inputName(port.name);
  give(ZERO, 'zero');
  give(ONE, 'one');
  for (const { i, j, signal } of network.partialProducts) give(signal, `p_${i}_${j}`);
  for (const adder of network.adders) {
    if (adder.sum !== null) give(adder.sum, `${adderName(adder)}_sum`);
    if (adder.carry !== null) give(adder.carry, `${adderName(adder)}_carry`);
  }
  network.nodes.forEach((_, signal) => {
    if (names[signal] === undefined) give(signal, `n${signal}`);
  });
  return names;
}

/**
 * A name that is an identifier in C and a harmless file name: letters, digits and `_`, at most 64 of them, no digit
 * first.
 */
export function safeIdentifier(name: string): string {
  const plain = name.replaceAll(/[^A-Za-z0-9_]+/g, '_').slice(0, 64);
  return /^[A-Za-z_]/.test(plain) ? plain : `m_${plain}`.slice(0, 64);
}
