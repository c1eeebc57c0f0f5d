// A run's network at one of its stages, at rest: what every export is made of. The graph is that of an evaluation, its
// variables are those of the stage's session, so that weight codes which a stage chooses are the ones that it is
// measured with; multipliers come with their gates, those of exact layers generated.
// Invariant: netlists and tables are read as the run's records vouch for them, and the run is only read.

import type { Dataset } from '../../data/dataset.ts';
import type { Session } from '../../engine/backend.ts';
import { Graph } from '../../engine/graph/graph.ts';
import type { FrozenLayer, FrozenMultiplier, FrozenNetwork } from '../../integer/frozen.ts';
import { codeOfPattern } from '../../multiplier/operands.ts';
import { exactTable, firstDifference, type ProductTable } from '../../multiplier/table.ts';
import type { OperandWidths } from '../../multiplier/widths.ts';
import { readBlif } from '../../netlist/blif/read.ts';
import { cheapestExact } from '../../netlist/exact-cost.ts';
import { readNpy } from '../../netlist/formats/npy.ts';
import { generate } from '../../netlist/generators/registry.ts';
import { relabelled } from '../../netlist/network.ts';
import { simulate } from '../../netlist/simulate.ts';
import type { MultiplyingLayer } from '../../nn/layers.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import type { HostTensor } from '../../tensor/tensor.ts';
import type { ImageFormat, ImageTask } from '../../train/images.ts';
import { type Arithmetic, layersOn, widthsIn } from '../../train/task.ts';
import { moduleName, multiplierFiles } from '../../workbench/files.ts';
import { ownZero } from '../multipliers/mapped.ts';
import { requirePhase } from '../run/context.ts';
import { verifiedBytes } from '../run/manifest.ts';
import type { KeptStage } from '../run/stages.ts';
import { type FrozenStage, isFrozenStage } from './frozen-stages.ts';
import { type OpenStage, openStage, type StageOptions } from './opened.ts';

export interface FreezeOptions extends Omit<StageOptions, 'folder' | 'stage'> {
  /** One of `frozenStages` (frozen-stages.ts); default: the last that the run has reached. */
  readonly stage?: FrozenStage;
}

export interface FrozenRun {
  readonly frozen: FrozenNetwork;
  readonly stage: FrozenStage;
  readonly dataset: Dataset;
}

/** The network of a run at rest, with the run's data; the run is only read. Throws a UserError. */
export async function freezeRun(folder: string, options: FreezeOptions = {}): Promise<FrozenRun> {
  const opened = await openStage({ ...options, folder });
  try {
    const { run, stage } = opened;
    if (!isFrozenStage(stage)) throw notFrozen(folder, stage);
    const { dataset, task, configuration } = run;
    const frozen = await freeze(opened.session, {
      ...{ model: configuration.model, stage, task, format: dataset, arithmetic: opened.arithmetic },
      multipliersFor: runMultipliers(opened),
    });
    return { frozen, stage, dataset };
  } finally {
    await opened.session.dispose();
  }
}

function notFrozen(folder: string, stage: KeptStage): UserError {
  if (stage === 'float') {
    return new UserError(`the float network of ${folder} has no integers; run tram quantize ${folder} first`);
  }
  return new UserError(
    `the network of the stage ${stage} multiplies with structures of θ, which are no gates yet; run tram map ${folder}, or give --stage quantized`,
  );
}

/** What a layer multiplies with, and the code of a weight of 0 whose products are taken off as they are. */
export interface LayerMultiplier {
  readonly multiplier: FrozenMultiplier;
  /** A code. */
  readonly ownZero?: number;
}

export interface ToFreeze {
  readonly model: string;
  readonly stage: string;
  readonly task: ImageTask;
  readonly format: ImageFormat;
  readonly arithmetic: Arithmetic;
  /** Of a layer that multiplies codes; layers that share one are given the same. */
  readonly multipliersFor: (layer: string, widths: OperandWidths) => LayerMultiplier;
}

/** The network of a session at rest. */
export async function freeze(session: Session, asked: ToFreeze): Promise<FrozenNetwork> {
  const { model, stage, task, format, arithmetic, multipliersFor } = asked;
  const graph = new Graph();
  const image = graph.input('images', [1, format.height, format.width, format.channels], 'u8');
  const layers = layersOn(graph, arithmetic, 'evaluate');
  const logits = task.logits(layers, image);
  graph.output('logits', logits);
  const variables = new Map<string, HostTensor>();
  for (const name of graph.variables.keys()) variables.set(name, await session.read(name));
  const multipliers: FrozenMultiplier[] = [];
  const frozen = (layer: MultiplyingLayer): FrozenLayer => {
    if (arithmetic.kind === 'float' || arithmetic.isFloat?.(layer.name)) return layer;
    const { weightBits, activationBits } = widthsIn(arithmetic, layer.name);
    const own = multipliersFor(layer.name, { weightBits, activationBits });
    const known = multipliers.indexOf(own.multiplier);
    const number = known < 0 ? multipliers.push(own.multiplier) - 1 : known;
    const zero =
      own.ownZero !== undefined && own.multiplier.table.signed ? codeOfPattern(own.ownZero, weightBits) : own.ownZero;
    return { ...layer, operands: { weightBits, activationBits, multiplier: number, ...given({ ownZero: zero }) } };
  };
  const { scale, mean, deviation, classes } = format;
  return {
    ...{ model, stage, classes, graph, image, logits, variables },
    normalisation: { scale, mean: [...mean], deviation: [...deviation] },
    layers: layers.multiplying.map(frozen),
    multipliers,
  };
}

/** The cheapest exact multiplier of these widths, proved by its table. */
export function exactFrozen({ weightBits, activationBits }: OperandWidths): FrozenMultiplier {
  const { kind } = cheapestExact(weightBits, activationBits);
  const name = `exact_${weightBits}x${activationBits}`;
  const { network, signed } = generate(kind, { weightBits, activationBits });
  const table = simulate(network, { signed });
  invariant(!firstDifference(table, exactTable(weightBits, activationBits, signed)), `${kind} is not exact`);
  return { name, table, exact: true, netlist: relabelled(network, name) };
}

/** The multipliers of a run, each made once. */
function runMultipliers({ run, stage, arithmetic }: OpenStage): ToFreeze['multipliersFor'] {
  const exact = new Map<string, FrozenMultiplier>();
  const exactOf = (widths: OperandWidths): LayerMultiplier => {
    const key = `${widths.weightBits}x${widths.activationBits}`;
    const found = exact.get(key) ?? exactFrozen(widths);
    exact.set(key, found);
    return { multiplier: found };
  };
  const concrete = stage === 'quantized' ? new Map<string, LayerMultiplier>() : concreteOf(run);
  return (layer, widths) => {
    const isExact = arithmetic.kind === 'quantized' && arithmetic.multiplierOf(layer).kind === 'exact';
    const found = isExact ? undefined : concrete.get(layer);
    invariant(isExact || found, `no multiplier for the layer ${layer}`);
    return found ?? exactOf(widths);
  };
}

/** The multipliers that phase 2 left, by layer. */
function concreteOf(run: OpenStage['run']): Map<string, LayerMultiplier> {
  const { folder, configuration } = run;
  const record = requirePhase(run, 'map');
  const found = new Map<string, LayerMultiplier>();
  for (const { name, layers, signed } of record.multipliers ?? []) {
    const paths = multiplierFiles(name);
    const table = readNpy(verifiedBytes(folder, record, paths.table), paths.table, { signed });
    const multiplier: FrozenMultiplier = {
      ...{ name: moduleName(name), table, exact: isExactTable(table) },
      ...given({ netlist: record.files[paths.blif] === undefined ? undefined : netlistOf(paths.blif) }),
    };
    const own = { multiplier, ...given({ ownZero: ownZero(configuration, table) }) };
    for (const layer of layers) found.set(layer, own);
    function netlistOf(path: string) {
      const { network } = readBlif(Buffer.from(verifiedBytes(folder, record, path)).toString('utf8'), { file: path });
      invariant(!firstDifference(simulate(network, { signed }), table), `${path} and ${paths.table} differ`);
      return relabelled(network, moduleName(name));
    }
  }
  return found;
}

const isExactTable = (table: ProductTable): boolean =>
  firstDifference(table, exactTable(table.weightBits, table.activationBits, table.signed)) === null;
