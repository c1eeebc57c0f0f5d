// What a multiplier costs in the cells of a library, relative to the exact 8×8 multiplier in the same cells: the
// "synthesised" of the three kinds of power. The reference is the array, the published exact multiplier from which a
// mapping starts, synthesised with the very same settings; it is the same for every width of the operands. Of the
// netlists that meet the delay the one of least power counts, unless the settings say otherwise.
// Results are kept by what they depend on (hardware/synthesis-cache.ts): asking again costs milliseconds.

import { synthesizeOnce } from '../hardware/synthesis-cache.ts';
import type { Synthesis, SynthesisOptions } from '../hardware/synthesize.ts';
import { openYosys, type YosysChoice } from '../hardware/yosys/choose.ts';
import type { Circuit } from '../hardware/yosys/design.ts';
import type { Yosys } from '../hardware/yosys/tool.ts';
import { cleanUp } from '../netlist/cleanup.ts';
import { generate } from '../netlist/generators/registry.ts';
import { Network, relabelled } from '../netlist/network.ts';
import { UserError } from '../tensor/errors.ts';
import { userCacheFolder } from '../tensor/user-cache.ts';

/** How multipliers are synthesised that are to be compared; operands are random unless an activity is given. */
export interface TechnologyOptions extends Omit<SynthesisOptions, 'circuit' | 'histograms' | 'yosys'> {
  /** Default: the bundled one, started with the first result that is not known yet. */
  readonly yosys?: YosysChoice;
  /** Where results are kept; default: the user's cache; null: nowhere. */
  readonly cache?: string | null;
}

/** Area, delay and power in `units`, and each relative to the exact 8×8 multiplier. */
export interface SynthesisedPower {
  readonly area: number;
  readonly delay: number;
  readonly power: number;
  readonly relative: { readonly area: number; readonly delay: number; readonly power: number };
  readonly units: Synthesis['units'];
  readonly library: string;
  /** Whether the delay target is met. */
  readonly meetsTarget: boolean;
}

/** The exact multiplier that has the power 1. */
const REFERENCE = { kind: 'array', weightBits: 8, activationBits: 8 } as const;

/** A technology: one library with one set of settings. `close` it where results were asked for. */
export class Technology {
  readonly #options: TechnologyOptions;
  #opened: Yosys | undefined;
  #reference: Promise<Synthesis> | undefined;

  constructor(options: TechnologyOptions = {}) {
    this.#options = options;
  }

  /** Throws a UserError for what cannot be synthesised, and for a library that gives no supply voltage. */
  async synthesise(circuit: Circuit): Promise<Synthesis & { readonly powerTotal: number }> {
    const { yosys = 'bundled', cache = userCacheFolder('synthesis'), objective = 'power', ...settings } = this.#options;
    // One worker for all, which starts only where something is computed.
    if (yosys === 'bundled') this.#opened ??= openYosys('bundled');
    const result = await synthesizeOnce({ ...settings, objective, yosys: this.#opened ?? yosys, circuit }, cache);
    if (!result.power)
      throw new UserError(`${result.library} gives no supply voltage: expected nom_voltage, for power`);
    return { ...result, powerTotal: result.power.total };
  }

  /** The exact 8×8 multiplier here. */
  reference(): Promise<Synthesis> {
    const { kind, ...widths } = REFERENCE;
    this.#reference ??= this.synthesise({ network: unnamed(generate(kind, widths).network) });
    return this.#reference;
  }

  async close(): Promise<void> {
    await this.#opened?.close();
    this.#opened = undefined;
  }
}

/**
 * Area, delay and power of a multiplier in a technology. A network is taken as its gates say, whatever its name; other
 * circuits as their text does.
 */
export async function synthesisedPower(
  multiplier: Network | Circuit,
  technology: Technology,
): Promise<SynthesisedPower> {
  const reference = await technology.reference();
  const circuit = multiplier instanceof Network ? { network: unnamed(multiplier) } : multiplier;
  const { area, delay, powerTotal: power, units, library, meetsTarget } = await technology.synthesise(circuit);
  const relative = {
    area: area / reference.area,
    delay: delay / reference.delay,
    power: power / reference.power!.total,
  };
  return { area, delay, power, relative, units, library, meetsTarget };
}

const unnamed = (network: Network): Network => relabelled(cleanUp(network), 'multiplier');
