// The operators of ONNX that networks are read from, by their names. What is not here is refused with the node's name.

import type { OnnxNode } from '../../onnx/graph.ts';
import { UserError } from '../../tensor/errors.ts';
import { nearestName } from '../../tensor/names.ts';
import { arithmetic } from './arithmetic.ts';
import type { Operand } from './building.ts';
import type { Call } from './call.ts';
import { moving } from './moving.ts';
import { fused, multiplying } from './multiplying.ts';
import { OWN } from './patterns.ts';

/** What a node gives: its first output, or all of them. */
export type Operator = (call: Call) => Operand | readonly Operand[];

const standard: Readonly<Record<string, Operator>> = { ...multiplying, ...arithmetic, ...moving };

/** The operators that are read, in alphabetical order. */
export const operatorNames: readonly string[] = Object.keys(standard).sort();

const QUANTISED = /^(De)?[Qq]uantizeLinear$|^QLinear|Integer$|^(Int)?Quant$/;

/** The operator of a node; throws for one that is not supported, with what can be done. */
export function operatorOf({ op, domain }: OnnxNode): Operator {
  const table = domain === OWN ? fused : domain === '' ? standard : {};
  if (Object.hasOwn(table, op)) return table[op]!;
  if (QUANTISED.test(op)) {
    throw new UserError('it is of a quantised network; export the float network, which is quantised here');
  }
  if (domain !== '' && domain !== OWN) {
    throw new UserError(
      `operators of the domain ${domain.slice(0, 40)} are not supported; export with standard operators alone`,
    );
  }
  const nearest = nearestName(op, operatorNames);
  const question = nearest === undefined ? '' : ` (near: ${nearest})`;
  throw new UserError(
    `the operator is not supported${question}; docs/onnx.md lists those that are: write this part of the network with them, or the network as an .mjs file`,
  );
}
