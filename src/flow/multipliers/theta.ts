// theta.json: the structures that phase 1 found, as phase 2 reads them. The file has their values; what each θ is of
// follows from the run's settings, so that a document means nothing without them.

import { z } from 'zod';
import { checkThetaShape, type Structure } from '../../multiplier/structure.ts';
import { UserError } from '../../tensor/errors.ts';
import { unknownName } from '../../tensor/names.ts';
import { fileName } from '../run/manifest.ts';
import { type Configuration, describeIssues } from '../settings/config.ts';
import type { RunStructure } from './multipliers.ts';

const thetaSchema = z.strictObject({
  weightBits: z.int(),
  activationBits: z.int(),
  /** Modelled power of the network relative to exact 8×8 multipliers. */
  power: z.number(),
  structures: z.array(
    z.strictObject({
      /** Becomes part of the names of the multiplier's files. */
      name: fileName,
      layers: z.array(z.string()),
      /** In [0, 1], in the order of the structure: see docs/formats.md. */
      theta: z.array(z.number().min(0).max(1)),
    }),
  ),
});
export type ThetaDocument = z.output<typeof thetaSchema>;

export function thetaDocument(
  { bits }: Configuration,
  structures: readonly RunStructure[],
  learned: { readonly theta: Readonly<Record<string, readonly number[]>>; readonly power: number },
): ThetaDocument {
  return {
    weightBits: bits.weights,
    activationBits: bits.activations,
    power: learned.power,
    structures: structures.map(({ name, layers }) => ({
      name,
      layers: layers.map((layer) => layer.name),
      theta: [...learned.theta[name]!],
    })),
  };
}

/** A structure with what phase 1 found. */
export interface FoundStructure {
  readonly name: string;
  readonly layers: readonly string[];
  readonly structure: Structure;
  readonly theta: readonly number[];
}

/** The structures of a run with the values of a document; a UserError where these are of other structures. */
export function foundStructures(document: ThetaDocument, structures: readonly RunStructure[]): FoundStructure[] {
  const names = structures.map(({ name }) => name);
  return document.structures.map(({ name, layers, theta }) => {
    const own = structures.find((one) => one.name === name);
    if (!own) throw unknownName('structure', name, names);
    checkThetaShape(own.structure, theta);
    return { name, layers, structure: own.structure, theta };
  });
}

export function parseTheta(bytes: Uint8Array, path: string): ThetaDocument {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new UserError(`${path} is not valid JSON: ${(error as Error).message}`);
  }
  const parsed = thetaSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new UserError(`${path} does not hold structures: ${describeIssues(parsed.error)}`);
}
