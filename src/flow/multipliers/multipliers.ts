// Where the two streams meet: which layers of a run are approximate, which structure each of them reads and what its
// power is worth, and the arithmetic of each phase. What a multiplier is and does is in multiplier/; here it is chosen
// by a run's configuration.

import type { Session } from '../../engine/backend.ts';
import type { OperandHistograms } from '../../multiplier/metrics.ts';
import { exactMultiplier, type Multiplier, withSlopes } from '../../multiplier/multiplier.ts';
import { networkPower } from '../../multiplier/power.ts';
import { modelledExactPower } from '../../multiplier/power-model.ts';
import { type Structure, structureOfGrain, thetaOfColumns } from '../../multiplier/structure.ts';
import type { BatchNorm } from '../../quant/fold.ts';
import { invariant } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { f32 } from '../../tensor/tensor.ts';
import type { PowerTerm } from '../../train/step.ts';
import { type QuantizedArithmetic, widthsIn } from '../../train/task.ts';
import type { Manifest, TypesRecord } from '../run/manifest.ts';
import type { QuantizersWanted } from '../run/published.ts';
import type { Configuration } from '../settings/config.ts';
import {
  approximateLayers,
  hasOwnWidths,
  type LayerFacts,
  layerWidths,
  type RunLayer,
  type Widths,
} from '../settings/layers.ts';
import { phasesOf } from '../settings/phases.ts';

/** What decides how the layers of a network multiply. */
export interface Network {
  readonly configuration: Configuration;
  readonly layers: readonly RunLayer[];
  /** Where layers were put together while they trained: which; default: those of the finished exploration. */
  readonly types?: TypesRecord | undefined;
  readonly manifest?: Pick<Manifest, 'phases'>;
}

/** Layers that share a multiplier, and the name of it. */
type Kind = Pick<NonNullable<TypesRecord['kinds']>[number], 'name' | 'layers'>;

/** The kinds that the layers of a network have become; undefined where they have not. */
export function kindsIn({ configuration, types, manifest }: Omit<Network, 'layers'>): TypesRecord['kinds'] {
  if (configuration.explore.types === undefined) return undefined;
  return (types ?? manifest?.phases.explore?.types)?.kinds;
}

/** A structure that learns in a run. */
export interface RunStructure {
  /** The variable that holds its θ; the name under which files have it. */
  readonly name: string;
  readonly structure: Structure;
  /** The layers that read it. */
  readonly layers: readonly RunLayer[];
}

/** What each θ of a run is of: a column, or a partial product; of layers with widths of their own by these. */
export function structureOfRun({ bits, explore }: Configuration, own: Widths = bits): Structure {
  const widths = { weightBits: own.weights, activationBits: own.activations };
  const columns = Math.min(explore.columns, own.weights + own.activations - 1);
  return structureOfGrain(explore.grain, widths, columns);
}

/**
 * The structures of a run, in the order of their first layers: one for all, or for all of the same widths, one per
 * layer, or one for each kind.
 */
export function structuresOf(
  configuration: Configuration,
  layers: readonly RunLayer[],
  kinds?: readonly Kind[],
): readonly RunStructure[] {
  if (hasOwnWidths(configuration)) return structuresOfWidths(configuration, layers);
  const structure = structureOfRun(configuration);
  const approximate = approximateLayers(configuration, layers);
  if (configuration.explore.structure === 'shared') return [{ name: 'theta', structure, layers: approximate }];
  if (kinds) {
    return kinds.map(({ name, layers: own }) => ({
      ...{ name: `${name}.theta`, structure },
      layers: approximate.filter((layer) => own.includes(layer.name)),
    }));
  }
  return approximate.map((layer) => ({ name: `${layer.name}.theta`, structure, layers: [layer] }));
}

function structuresOfWidths(configuration: Configuration, layers: readonly RunLayer[]): readonly RunStructure[] {
  return groupsOfWidths(configuration, layers).flatMap(({ name, widths, layers: own }) => {
    const structure = structureOfRun(configuration, widths);
    if (configuration.explore.structure === 'shared') return [{ name: `${name}.theta`, structure, layers: own }];
    return own.map((layer) => ({ name: `${layer.name}.theta`, structure, layers: [layer] }));
  });
}

/** The approximated layers by their widths, in the order of the first of each: what can share a multiplier. */
export function groupsOfWidths<L extends LayerFacts>(configuration: Configuration, layers: readonly L[]) {
  const widths = layerWidths(configuration, layers);
  const groups = new Map<string, { name: string; widths: Widths; layers: L[] }>();
  for (const layer of approximateLayers(configuration, layers)) {
    const own = widths.get(layer.name)!;
    const name = `${own.weights}x${own.activations}`;
    const group = groups.get(name) ?? { name, widths: own, layers: [] };
    group.layers.push(layer);
    groups.set(name, group);
  }
  return [...groups.values()];
}

/** θ of a structure before exploration: the lowest columns removed. */
export function initialTheta({ explore }: Configuration, structure: Structure): number[] {
  return thetaOfColumns(structure, explore.initiallyRemoved);
}

/** Begins every structure of a session at it. */
export function writeInitialTheta(session: Session, network: Network): void {
  const { configuration, layers } = network;
  for (const { name, structure } of structuresOf(configuration, layers, kindsIn(network))) {
    session.write(name, f32([structure.count], initialTheta(configuration, structure)));
  }
}

/** The loss's power term: each structure, weighted by the share of its layers' multiplications (paper, Eq. 3 and 8). */
export function powerTerm(
  configuration: Configuration,
  layers: readonly RunLayer[],
  kinds?: readonly Kind[],
): PowerTerm {
  const structures = structuresOf(configuration, layers, kinds);
  const worth = ({ structure, layers: readers }: RunStructure) => {
    const macs = readers.reduce((sum, layer) => sum + layer.macs, 0);
    // Of different widths a multiplication is worth what it costs; of the same ones that is the same.
    return hasOwnWidths(configuration) ? macs * modelledExactPower(configuration.explore.powerModel, structure) : macs;
  };
  const all = structures.reduce((sum, one) => sum + worth(one), 0);
  return {
    ...given({ lambda: configuration.explore.lambda }),
    model: configuration.explore.powerModel,
    structures: structures.map((one) => ({
      theta: one.name,
      structure: one.structure,
      share: worth(one) / all,
    })),
  };
}

/** Modelled power of the exact multiplier of a run’s widths, exact 8×8 = 1: the unit of the power in the loss. */
export function exactPowerOf({ bits, explore }: Pick<Configuration, 'bits' | 'explore'>): number {
  const widths = { weightBits: bits.weights, activationBits: bits.activations };
  return modelledExactPower(explore.powerModel, widths);
}

/**
 * The same of a network's approximated layers: where they have widths of their own the mean, weighted by their
 * multiplications.
 */
export function networkExactPower(configuration: Configuration, layers: readonly LayerFacts[]): number {
  if (!hasOwnWidths(configuration)) return exactPowerOf(configuration);
  const { explore } = configuration;
  return networkPower(
    groupsOfWidths(configuration, layers).map(({ widths, layers: own }) => ({
      power: exactPowerOf({ bits: widths, explore }),
      macs: own.reduce((sum, { macs }) => sum + macs, 0),
    })),
  );
}

/** What the quantisers of a network must be: their widths, and how many scales weights have. */
export function quantizersWanted({ configuration, layers }: Network): QuantizersWanted {
  const widths = layerWidths(configuration, layers);
  return { layers, channelwise: configuration.channelwise, widthsOf: (layer) => widths.get(layer)! };
}

/** The same as text, to compare. */
export function describeQuantizers(network: Network): string {
  const { layers, channelwise, widthsOf } = quantizersWanted(network);
  return JSON.stringify({ channelwise, widths: layers.map(({ name }) => [name, widthsOf(name)]) });
}

/** Quantised arithmetic with the given multiplier for the approximate layers and exact ones for the others. */
export function quantizedArithmetic(
  { configuration, layers }: Network,
  multiplierOf: (layer: string) => Multiplier,
): QuantizedArithmetic {
  const { bits, channelwise, quantize } = configuration;
  const approximate = new Set(approximateLayers(configuration, layers).map(({ name }) => name));
  const widths = layerWidths(configuration, layers);
  return {
    kind: 'quantized',
    weightBits: bits.weights,
    activationBits: bits.activations,
    channelwise,
    quantizer: quantize.quantizer,
    range: quantize.range,
    folded: foldedBatchNorms({ configuration, layers }),
    widthsOf: (layer) => {
      const own = widths.get(layer);
      invariant(own, `no layer is called ${layer}`);
      return { weightBits: own.weights, activationBits: own.activations };
    },
    multiplierOf: (layer) => (approximate.has(layer) ? multiplierOf(layer) : exactMultiplier()),
  };
}

/** The batch norms that a run folds, by the layer that takes them; none unless it is asked to. */
export function foldedBatchNorms({ configuration, layers }: Network): ReadonlyMap<string, BatchNorm> {
  if (!configuration.quantize.foldBatchNorm) return new Map();
  return new Map(layers.flatMap(({ name, batchNorm }) => (batchNorm ? [[name, batchNorm] as const] : [])));
}

/** The arithmetic of phase 1: every approximate layer reads its structure. */
export function structuredArithmetic(network: Network): QuantizedArithmetic {
  const { configuration, layers } = network;
  const multipliers = new Map(
    structuresOf(configuration, layers, kindsIn(network)).flatMap(({ name, structure, layers: readers }) => {
      const multiplier: Multiplier = { kind: 'structure', theta: name, structure };
      return readers.map((layer) => [layer.name, multiplier] as const);
    }),
  );
  const arithmetic = quantizedArithmetic(network, (layer) => {
    const multiplier = multipliers.get(layer);
    invariant(multiplier, `no structure for the layer ${layer}`);
    return multiplier;
  });
  return { ...arithmetic, weightCodes: configuration.explore.weightCodes };
}

/**
 * The arithmetic that the network of phases 2 and 3 has adapted to: that of its structures, or under a given multiplier
 * the exact one.
 */
export function arithmeticToMap(network: Network): QuantizedArithmetic {
  return phasesOf(network.configuration).includes('explore')
    ? structuredArithmetic(network)
    : quantizedArithmetic(network, exactMultiplier);
}

/**
 * The arithmetic of phase 3: the given multipliers, with the slopes of their errors where gradients are to go through
 * them. `met`: the codes that each layer meets, by which its rows have their slopes (`slopeOperands`); default: all
 * codes alike.
 */
export function recoveryArithmetic(
  { recover }: Pick<Configuration, 'recover'>,
  arithmetic: QuantizedArithmetic,
  met?: ReadonlyMap<string, OperandHistograms>,
): QuantizedArithmetic {
  const { gradient, smoothing } = recover;
  if (gradient === 'straight-through') return arithmetic;
  // Slopes of all pairs are of the multiplier alone: layers share them.
  const sloped = new Map<Multiplier | string, Multiplier>();
  return {
    ...arithmetic,
    multiplierOf: (layer) => {
      const multiplier = arithmetic.multiplierOf(layer);
      if (multiplier.kind === 'exact') return multiplier;
      const own = smoothing ? undefined : met?.get(layer);
      const key = own ? layer : multiplier;
      const made = sloped.get(key) ?? withSlopes(multiplier, widthsIn(arithmetic, layer), smoothing ?? 'rows', own);
      sloped.set(key, made);
      return made;
    },
  };
}
