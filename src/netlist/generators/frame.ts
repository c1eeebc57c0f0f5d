// The frame that all generated multipliers share: the ports w, x and y, and the partial products of unsigned operands.

import { checkNetlistBits } from '../../multiplier/widths.ts';
import { Network, type Signal } from '../network.ts';
import type { BitHeap } from './heap.ts';

export interface Frame {
  readonly network: Network;
  /** Bits of the operands, least significant first. */
  readonly w: readonly Signal[];
  readonly x: readonly Signal[];
  readonly productBits: number;
}

/** A network with the ports `w[i]` and `x[j]`; the name gets the widths. Widths from 2 to 26 bits each. */
export function multiplierFrame(name: string, weightBits: number, activationBits: number): Frame {
  checkNetlistBits(weightBits, activationBits);
  const network = new Network(`${name}_${weightBits}x${activationBits}`);
  const bus = (base: string, bits: number) =>
    Array.from({ length: bits }, (_, bit) => network.addInput(`${base}[${bit}]`));
  return {
    network,
    w: bus('w', weightBits),
    x: bus('x', activationBits),
    productBits: weightBits + activationBits,
  };
}

/** Adds the outputs `y[k]`. */
export function addProduct(network: Network, bits: readonly Signal[]): Network {
  bits.forEach((signal, k) => {
    network.addOutput(`y[${k}]`, signal);
  });
  return network;
}

/** Puts w[i] & x[j] on the heap wherever `keep` says so. */
export function addPartialProducts(
  { network, w, x }: Frame,
  heap: BitHeap,
  keep: (i: number, j: number) => boolean = () => true,
): void {
  w.forEach((wi, i) => {
    x.forEach((xj, j) => {
      if (keep(i, j)) heap.add(i + j, network.addPartialProduct(i, j, wi, xj));
    });
  });
}
