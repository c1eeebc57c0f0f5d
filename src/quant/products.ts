// A layer's multiplier as a product node of the graph takes it: the error that is the node's attribute, and the values
// that it reads, as inputs behind the operands. Which multiplier a layer has is chosen elsewhere; how a device forms
// its products is the engine's business.

import type { Graph, Value } from '../engine/graph/graph.ts';
import type { OperandWidths } from '../engine/graph/ops.ts';
import type { ProductError } from '../multiplier/error.ts';
import type { Multiplier, StructureMultiplier } from '../multiplier/multiplier.ts';
import type { Slopes } from '../multiplier/slopes.ts';
import type { Structure } from '../multiplier/structure.ts';
import { invariant, UserError } from '../tensor/errors.ts';
import { tensor } from '../tensor/tensor.ts';

export interface NodeError {
  readonly error: ProductError;
  /**
   * What the error reads, then the slopes along either operand, if gradients go through it (see axmConv2d in
   * engine/graph/ops.ts).
   */
  readonly inputs: readonly Value[];
}

/** `differentiated`: whether there is a backward pass, the only one that reads slopes. */
export function nodeError(
  graph: Graph,
  multiplier: Multiplier,
  { weightBits, activationBits }: OperandWidths,
  differentiated: boolean,
): NodeError {
  const pairs = [2 ** weightBits, 2 ** activationBits];
  const slopesOf = ({ slopes }: { readonly slopes?: Slopes }): Value[] =>
    slopes && differentiated
      ? [slopes.weight, slopes.activation].map((data) => {
          return graph.constant(tensor('f32', slopes.per === 'pair' ? pairs : [data.length], data));
        })
      : [];
  switch (multiplier.kind) {
    case 'exact':
      return { error: { kind: 'none' }, inputs: [] };
    case 'structure': {
      const { structure, isHard = false } = multiplier;
      invariant(
        structure.weightBits === weightBits && structure.activationBits === activationBits,
        `a structure of ${structure.weightBits}×${structure.activationBits} bits for operands of ${weightBits}×${activationBits}`,
      );
      return { error: { kind: 'removal', integer: isHard }, inputs: [removedShares(graph, multiplier)] };
    }
    case 'removal': {
      const m = graph.constant(tensor('f32', [weightBits, activationBits], multiplier.removed));
      return { error: { kind: 'removal', integer: true }, inputs: [m, ...slopesOf(multiplier)] };
    }
    case 'table': {
      const { error, emulation } = multiplier;
      const table = graph.constant(tensor('i32', pairs, error));
      return {
        error: { kind: 'table', ...(emulation ? { emulation } : {}) },
        inputs: [table, ...slopesOf(multiplier)],
      };
    }
  }
}

/** The share that each partial product loses under a structure that learns, [weightBits, activationBits], 0 … 1. */
export function removedShares(graph: Graph, { theta, structure }: StructureMultiplier): Value {
  const values = clampedTheta(graph, theta, structure);
  const { weightBits, activationBits, index } = structure;
  const attributes = { weightBits, activationBits, index };
  return shared(values, JSON.stringify(attributes), () => graph.apply1('structureMatrix', [values], attributes));
}

/** The structure for which each variable of θ was declared. */
const declaredFor = new WeakMap<Value, Structure>();

/** The variable of a structure's θ. A UserError where one with another number of θ has it already. */
export function thetaOf(graph: Graph, theta: string, structure: Structure): Value {
  const known = graph.declared(theta);
  const other = known && declaredFor.get(known);
  if (other && other.count !== structure.count) {
    throw new UserError(
      `two structures of different length share the θ '${theta}': ${describeTheta(other)}, and ${describeTheta(structure)}; give each a name of its own, or both one structure`,
    );
  }
  const values = graph.variable(theta, [structure.count]);
  declaredFor.set(values, other ?? structure);
  return values;
}

/** "3 values for 4×8 bits (column 0 … column 2)". */
function describeTheta({ count, weightBits, activationBits, names }: Structure): string {
  const named = count === 0 ? '' : ` (${[...new Set([names[0], names.at(-1)])].join(' … ')})`;
  return `${count} ${count === 1 ? 'value' : 'values'} for ${weightBits}×${activationBits} bits${named}`;
}

/** The θ of a structure limited to [0, 1], straight-through: its gradient does not vanish at the ends. */
export function clampedTheta(graph: Graph, theta: string, structure: Structure): Value {
  const values = thetaOf(graph, theta, structure);
  return shared(values, 'clamped', () => graph.apply1('clampStraightThrough', [values], { low: 0, high: 1 }));
}

/** What is made of a value, by a name for how. */
const made = new WeakMap<Value, Map<string, Value>>();

/** Made once for all layers, of none of them: so are the gradients that go through it, of the sum over the layers. */
function shared(of: Value, name: string, make: () => Value): Value {
  const known = made.get(of) ?? new Map<string, Value>();
  made.set(of, known);
  const value = known.get(name) ?? of.graph.labelled('', make);
  known.set(name, value);
  return value;
}
