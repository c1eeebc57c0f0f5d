// Library cells for the netlist readers: those of Liberty files, or, without any, those of the built-in technology, in
// which `tram synth` maps when it is given none.
// Invariant: a cell of the built-in technology stands for an instance only if the instance connects no pin that the
// cell lacks; other libraries have cells of the same names with other pins.

import { readLibertyFile } from '../hardware/liberty/file.ts';
import type { Cell, Library } from '../hardware/liberty/library.ts';
import { readLiberties } from '../hardware/liberty/read.ts';
import { addExpression } from '../hardware/network.ts';
import { unitGateLiberty } from '../hardware/technology/unit-gate.ts';
import { cellModule } from '../netlist/cells.ts';
import { didYouMean } from '../netlist/diagnostics.ts';
import type { CellLibrary } from '../netlist/elaborate.ts';
import type { Module } from '../netlist/module.ts';

export interface UsedCells extends CellLibrary {
  /** The cells that were asked for and found. */
  readonly used: ReadonlySet<string>;
  /** One sentence where cells of the built-in technology were taken. */
  readonly notes: () => string[];
}

/** The cells of Liberty files by their paths; without any, those of the built-in technology. Throws a UserError. */
export async function openCells(paths: readonly string[] | undefined): Promise<UsedCells> {
  if (paths !== undefined && paths.length > 0)
    return givenCells(readLiberties(await Promise.all(paths.map(readLibertyFile))));
  return builtInCells();
}

function givenCells(library: Library): UsedCells {
  const skipped = new Set(library.skipped);
  const used = new Set<string>();
  const modules = moduleCache(library, used);
  return {
    used,
    notes: () => [],
    otherwise: `, or a cell of ${library.name}`,
    cell: (name) => {
      if (skipped.has(name))
        return `"${name}" of ${library.name} has no function that can be used (storage, three-state)`;
      const module = modules(name);
      if (module) return module;
      const hint = didYouMean(name, library.cells.keys());
      return hint === '' ? undefined : `unknown cell "${name}"${hint}`;
    },
  };
}

function builtInCells(): UsedCells {
  const used = new Set<string>();
  let open: ((name: string) => Module | undefined) | undefined;
  return {
    used,
    notes: () =>
      used.size === 0
        ? []
        : [
            `cells of the built-in technology, which tram synth uses without --liberty: ${[...used].sort().join(', ')}; --liberty FILE takes another library`,
          ],
    otherwise: ', or a cell of a library (--liberty FILE)',
    cell: (name, pins) => {
      open ??= moduleCache(readLiberties([unitGateLiberty]), used);
      const module = open(name);
      if (!module) return undefined;
      const foreign = [...pins].find((pin) => !module.inputs.has(pin) && !module.outputs.has(pin));
      if (foreign === undefined) return module;
      used.delete(name);
      return `the cell "${name}" with a pin "${foreign}", which that of the built-in technology does not have`;
    },
  };
}

function moduleCache(library: Library, used: Set<string>): (name: string) => Module | undefined {
  const made = new Map<string, Module>();
  return (name) => {
    const cell = library.cells.get(name);
    if (!cell) return undefined;
    used.add(name);
    const module = made.get(name) ?? moduleOf(cell);
    made.set(name, module);
    return module;
  };
}

function moduleOf({ name, inputs, outputs }: Cell): Module {
  const pins = inputs.map((pin) => pin.name);
  return cellModule(
    name,
    pins,
    outputs.map((pin) => [
      pin.name,
      (network, signals) => addExpression(network, pin.function, new Map(pins.map((input, n) => [input, signals[n]!]))),
      pin.function.program.length,
    ]),
  );
}
