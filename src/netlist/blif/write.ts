// Writer of a network as one BLIF model: one .names per gate. Nets keep the names of ports; partial products are p_i_j,
// adders fa_s<stage>_c<column>_<id> with _sum and _carry, other gates n<signal>.
// Invariant: reading the text back gives a network of the same function and the same ports in the same order.

import { UserError } from '../../tensor/errors.ts';
import { clipped } from '../../tensor/names.ts';
import { usedSignals } from '../cleanup.ts';
import { netNames } from '../names.ts';
import type { GateKind, Network } from '../network.ts';
import { isGate, ONE, ZERO } from '../network.ts';

const covers: Readonly<Record<GateKind, readonly string[]>> = {
  not: ['0 1'],
  and: ['11 1'],
  or: ['1- 1', '-1 1'],
  xor: ['10 1', '01 1'],
  xor3: ['100 1', '010 1', '001 1', '111 1'],
  maj: ['11- 1', '1-1 1', '-11 1'],
};

/** The network as BLIF text: one model, .names alone. */
export function writeBlif(network: Network): string {
  const names = netNames(network, (name) => name);
  const lines = [`.model ${network.name}`];
  for (const { name } of [network, ...network.inputs, ...network.outputs]) {
    if (!/^[^\s#\\=.][^\s#\\=]*$/.test(name)) {
      throw new UserError(
        `the name ${clipped(JSON.stringify(name), 60)} cannot be written as BLIF: expected one without spaces, #, = and \\, and no dot in front`,
      );
    }
  }
  lines.push(['.inputs', ...network.inputs.map((port) => port.name)].join(' '));
  lines.push(['.outputs', ...network.outputs.map((port) => port.name)].join(' '));
  const used = usedSignals(network);
  if (used[ZERO]) lines.push(`.names ${names[ZERO]}`);
  if (used[ONE]) lines.push(`.names ${names[ONE]}`, '1');
  network.nodes.forEach((node, signal) => {
    if (!isGate(node.kind)) return;
    lines.push(
      ['.names', ...node.fanins.map((fanin) => names[fanin]!), names[signal]!].join(' '),
      ...covers[node.kind],
    );
  });
  for (const port of network.outputs) {
    if (names[port.signal] !== port.name) lines.push(`.names ${names[port.signal]} ${port.name}`, '1 1');
  }
  return `${lines.join('\n')}\n.end\n`;
}
