/** See power-structures.mjs. */
export interface PowerStructure {
  readonly name: string;
  readonly family: string;
  /** Nothing is fitted to it. */
  readonly held: boolean;
  readonly weightBits: number;
  readonly activationBits: number;
  readonly keep: string;
}
export function powerStructures(
  randomOf: (seed: number) => { readonly integer: (below: number) => number },
): PowerStructure[];
