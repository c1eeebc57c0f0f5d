// Something that multiplies: a netlist or a generator, which have a network, or a table of products. Files become
// subjects in workbench/load.ts; generators need no file.

import type { ProductTable } from '../multiplier/table.ts';
import { generateFromSpec } from './generators/registry.ts';
import type { Network } from './network.ts';

export type Subject =
  | {
      readonly kind: 'network';
      readonly name: string;
      readonly network: Network;
      readonly table?: undefined;
      /** Known of generators; netlist files do not say. */
      readonly signed?: boolean;
    }
  | {
      readonly kind: 'table';
      readonly name: string;
      readonly table: ProductTable;
      readonly network?: undefined;
      readonly signed?: boolean;
    };

/** The subject of a generator spec such as `dadda:8x8`. Throws a UserError for a spec that is none. */
export function generatedSubject(spec: string): Subject {
  const { network, signed } = generateFromSpec(spec);
  return { kind: 'network', name: spec, network, signed };
}
