// Exact unsigned multipliers: Wallace's and Dadda's compressor trees and the compact tree over the array of partial
// products, any widths (heap.ts).

import type { Network } from '../network.ts';
import { addPartialProducts, addProduct, multiplierFrame } from './frame.ts';
import { BitHeap, type TreeKind } from './heap.ts';

export function wallaceMultiplier(weightBits: number, activationBits: number): Network {
  return treeMultiplier('wallace', weightBits, activationBits);
}

export function daddaMultiplier(weightBits: number, activationBits: number): Network {
  return treeMultiplier('dadda', weightBits, activationBits);
}

export function compactMultiplier(weightBits: number, activationBits: number): Network {
  return treeMultiplier('compact', weightBits, activationBits);
}

function treeMultiplier(kind: TreeKind, weightBits: number, activationBits: number): Network {
  const frame = multiplierFrame(kind, weightBits, activationBits);
  const heap = new BitHeap(frame.network, frame.productBits);
  addPartialProducts(frame, heap);
  return addProduct(frame.network, heap.sum(kind));
}
