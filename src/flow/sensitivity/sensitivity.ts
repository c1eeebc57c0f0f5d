// Which layer hurts: one layer of a run's network at a time is quantised, or multiplies with a given multiplier, while
// all others stay as they are, and accuracy and loss are measured on a sample of the test images.
// Invariants: the run is only read; what is measured is kept after each layer and not measured again under the same
// facts; the network in which nothing is treated is measured on the same images.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { sampleOf } from '../../data/sample.ts';
import type { Session } from '../../engine/backend.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import type { OperandOrder } from '../../multiplier/table.ts';
import { checkOperandBits } from '../../multiplier/widths.ts';
import { writeNpy } from '../../netlist/formats/npy.ts';
import { layersPicture } from '../../report/layers.ts';
import { svgToPng } from '../../report/png.ts';
import { requireWhole, UserError } from '../../tensor/errors.ts';
import { readJson, sha256, writeInside, writeJsonInside } from '../../tensor/files.ts';
import { evaluateOnce } from '../../train/evaluation.ts';
import type { Arithmetic } from '../../train/task.ts';
import { version } from '../../version.ts';
import { inOrder, type OperandBits, readSource } from '../../workbench/import.ts';
import type { LoadOptions } from '../../workbench/load.ts';
import { multiplierInRun } from '../multipliers/mapped.ts';
import { foldedBatchNorms, quantizedArithmetic } from '../multipliers/multipliers.ts';
import { loadToQuantize, observe } from '../phases/calibrate.ts';
import { loadModel } from '../run/checkpoint.ts';
import { type OpenRun, requirePhase } from '../run/context.ts';
import { type DeviceOptions, deviceRecord, openBackend } from '../run/device.ts';
import { files, inFolder } from '../run/folder.ts';
import { openTask } from '../run/inputs.ts';
import { lockRun } from '../run/lock.ts';
import { readManifest, verifiedBytes } from '../run/manifest.ts';
import type { Material } from '../run/material.ts';
import type { Configuration } from '../settings/config.ts';
import { isExact, layerWidths, type RunLayer, selectLayers } from '../settings/layers.ts';
import { ofSensitivity, requireFolder, sensitivityFiles } from '../try/folder.ts';
import type { Measured } from '../try/treatments.ts';
import { byHarm, type LayerSensitivity, type SensitivityReport, sensitivityCsv, type Treated } from './report.ts';

export interface SensitivityOptions extends Material {
  /** A run folder whose float model is there; with a multiplier its quantisation must be done. It is only read. */
  readonly run: string;
  /** Folder for the results, not inside the run; default: the run's name with `-sensitivity` behind it, beside it. */
  readonly out?: string;
  /** Quantise to these widths; default: those of the run. */
  readonly bits?: OperandBits;
  /** Approximate with this one, a file or a generator, instead of quantising. */
  readonly approximateWith?: string;
  readonly operandOrder?: OperandOrder;
  /** How the file is read. */
  readonly reading?: LoadOptions;
  /** Layers to treat: names, patterns or words (see `approximate` of the settings); default: all. */
  readonly layers?: readonly string[];
  /** Test images, drawn by the run's seed; default 1000. */
  readonly images?: number;
  /** Where the run's data are now; default: where the run or the working directory has them. */
  readonly data?: string;
  readonly device?: DeviceOptions;
  readonly listener?: (event: SensitivityEvent) => void;
  /** Stops between two layers; what is finished is kept. */
  readonly signal?: AbortSignal;
}

export type SensitivityEvent =
  | ({ readonly kind: 'base' } & Measured)
  /** `at` of `of` layers is measured; `kept` where it was measured before. */
  | {
      readonly kind: 'layer';
      readonly at: number;
      readonly of: number;
      readonly layer: LayerSensitivity;
      readonly kept: boolean;
    }
  | { readonly kind: 'note'; readonly text: string };

const IMAGES = 1000;

export function sensitivityFolder(run: string): string {
  return `${run.replace(/[/\\]+$/, '')}-sensitivity`;
}

/** The network with one layer treated, or none. */
interface Treatment {
  readonly treated: Treated;
  /** What decides the figures beside the images and the layer. */
  readonly facts: object;
  readonly session: Session;
  readonly configuration: Configuration;
  readonly arithmeticOf: (layer: string | undefined) => Arithmetic;
}

/**
 * Measures all layers and returns the report, which is also in the folder as JSON, CSV and a picture. Throws a
 * UserError for what cannot be measured at all.
 */
export async function measureSensitivity(options: SensitivityOptions): Promise<SensitivityReport> {
  const { run: folder, listener = () => {}, signal, images = IMAGES } = options;
  requireWhole('images', images, 1);
  if (options.bits) checkOperandBits(options.bits.weights, options.bits.activations);
  const { approximateWith } = options;
  if (approximateWith !== undefined && isExact(approximateWith)) {
    throw new UserError(
      `${approximateWith} is what every layer multiplies with here, and none loses anything by it; give a multiplier that errs, or in its place the widths of --bits, to which layers are quantised then`,
    );
  }
  const out = options.out ?? sensitivityFolder(folder);
  const run = await openRun(options);
  const chosen = selectLayers(options.layers ?? ['all'], run.layers);
  requireFolder(out, folder, ofSensitivity);
  const lock = await lockRun(out, { signal, onWait: (text) => listener({ kind: 'note', text }) });
  try {
    const treatment = await treatmentOf(run, options);
    try {
      const layers = run.layers.filter(({ name }) => chosen.has(name));
      return await measureAll(run, treatment, layers, out, images, options);
    } finally {
      await treatment.session.dispose();
    }
  } finally {
    lock.release();
    await run.backend.close?.();
  }
}

type Opened = OpenRun & { readonly detail: SensitivityReport['device'] };

async function openRun(options: SensitivityOptions): Promise<Opened> {
  const { run: folder, data, device = {} } = options;
  const manifest = readManifest(folder);
  requirePhase({ manifest, folder }, options.approximateWith === undefined ? 'train' : 'quantize');
  const configuration = { ...manifest.configuration, ...(data === undefined ? {} : { data }) };
  const { dataset, task, layers } = await openTask(configuration, manifest.inputs, options);
  const backend = await openBackend(device);
  const { name, detail } = deviceRecord(backend, device);
  return {
    ...{ folder, manifest, configuration, dataset, task, layers, backend, recompute: false },
    emulation: device.emulation ?? 'auto',
    detail: { name, detail },
  };
}

function treatmentOf(run: Opened, options: SensitivityOptions): Promise<Treatment> {
  return options.approximateWith === undefined
    ? quantizing(run, options)
    : approximating(run, options.approximateWith, options);
}

/** Layers of the float network become quantised; their ranges are those of the float network. */
async function quantizing(run: Opened, { bits }: SensitivityOptions): Promise<Treatment> {
  const { quantize } = run.configuration;
  // Widths that are asked for are those of every layer.
  const configuration = bits
    ? { ...run.configuration, bits, quantize: { ...quantize, layerBits: [] } }
    : run.configuration;
  const float = verifiedBytes(run.folder, requirePhase(run, 'train'), files.float);
  const session = await run.backend.openSession();
  loadToQuantize(run, float, session);
  await observe({ ...run, configuration }, session);
  const quantized = quantizedArithmetic({ configuration, layers: run.layers }, exactMultiplier);
  const { images, quantizer, range, layerBits, observer, weightObserver, percentile, foldBatchNorm } =
    configuration.quantize;
  return {
    ...{ session, configuration, treated: { kind: 'quantized' } },
    facts: {
      ...{ float: sha256(float), bits: configuration.bits, channelwise: configuration.channelwise },
      quantize: {
        images,
        ...(quantizer === 'steps' ? { quantizer } : {}),
        range,
        layerBits,
        observer,
        weightObserver,
        percentile,
        foldBatchNorm,
      },
    },
    arithmeticOf: (layer) =>
      layer === undefined
        ? { kind: 'float', folded: foldedBatchNorms(run) }
        : { ...quantized, isFloat: (other) => other !== layer },
  };
}

/** Layers of the quantised network multiply with the multiplier. */
async function approximating(run: Opened, source: string, options: SensitivityOptions): Promise<Treatment> {
  const { configuration } = run;
  const read = await readSource(source, options.reading ?? {});
  const { table } = inOrder(read, configuration.bits, options.operandOrder);
  const multiplier = multiplierInRun(run, table);
  const bytes = verifiedBytes(run.folder, requirePhase(run, 'quantize'), files.quantized);
  const session = await run.backend.openSession();
  loadModel(bytes, inFolder(run, files.quantized), session, run.layers);
  const exact = quantizedArithmetic(run, exactMultiplier);
  return {
    ...{ session, configuration, treated: { kind: 'approximated', multiplier: source } },
    facts: { quantized: sha256(bytes), multiplier: sha256(writeNpy(table)), signed: table.signed },
    arithmeticOf: (layer) => ({
      ...exact,
      multiplierOf: (other) => (other === layer ? multiplier : exactMultiplier()),
    }),
  };
}

async function measureAll(
  run: Opened,
  { treated, facts, session, configuration, arithmeticOf }: Treatment,
  layers: readonly RunLayer[],
  out: string,
  images: number,
  { listener = () => {}, signal }: SensitivityOptions,
): Promise<SensitivityReport> {
  const { manifest, dataset, task, detail, folder } = run;
  const { seed, model, data, bits } = configuration;
  const sample = sampleOf(dataset.test, images, seed);
  const widths = layerWidths(configuration, run.layers);
  const macs = run.layers.reduce((sum, layer) => sum + layer.macs, 0);
  const key = sha256(
    JSON.stringify([version, facts, manifest.inputs.data.sha256, sample.count, seed, model, detail.name, treated.kind]),
  );
  const measure = async (layer: string | undefined): Promise<Measured> => {
    const { loss, metrics } = await evaluateOnce(session, task, arithmeticOf(layer), sample);
    return { accuracy: metrics.accuracy, loss };
  };
  const known = keptReport(out, key);
  const base = known?.base ?? (await measure(undefined));
  listener({ kind: 'base', ...base });
  const found: LayerSensitivity[] = [];
  const write = (complete: boolean): SensitivityReport => {
    // Until all is measured, what an earlier call has measured beyond this one stays.
    const names = new Set(found.map(({ name }) => name));
    const rest = complete ? [] : (known?.layers ?? []).filter(({ name }) => !names.has(name));
    const report: SensitivityReport = {
      ...{ format: 'tram-sensitivity', version: 1, program: { tram: version, node: process.version } },
      ...{ run: { folder, model, data, seed }, treated, images: sample.count, testImages: dataset.test.count },
      ...{ device: detail, base, layers: byHarm([...found, ...rest]), complete, facts: key },
    };
    writeJsonInside(out, sensitivityFiles.json, report);
    writeInside(out, sensitivityFiles.csv, sensitivityCsv(report));
    return report;
  };
  const fitting = layers.filter(({ name }) => treated.kind === 'quantized' || isOfWidths(widths.get(name)!, bits));
  const odd = layers.filter((layer) => !fitting.includes(layer)).map(({ name }) => name);
  if (odd.length > 0) listener({ kind: 'note', text: `of other widths than the multiplier: ${odd.join(', ')}` });
  for (const [at, { name, kind, macs: own }] of fitting.entries()) {
    signal?.throwIfAborted();
    const before = known?.layers.find((layer) => layer.name === name);
    const measured = before ?? (await measure(name));
    const { weights, activations } = widths.get(name)!;
    const layer: LayerSensitivity = {
      ...{ name, kind, weightBits: weights, activationBits: activations, macs: own, share: own / macs },
      ...{ accuracy: measured.accuracy, loss: measured.loss },
      accuracyChange: measured.accuracy - base.accuracy,
      lossChange: measured.loss - base.loss,
    };
    found.push(layer);
    if (!before) write(false);
    listener({ kind: 'layer', at: at + 1, of: fitting.length, layer, kept: before !== undefined });
  }
  const report = write(true);
  await draw(report, out, listener);
  return report;
}

const isOfWidths = (one: OperandBits, other: OperandBits) =>
  one.weights === other.weights && one.activations === other.activations;

/** What an earlier call left under the same facts. */
function keptReport(out: string, facts: string): SensitivityReport | undefined {
  const path = join(out, sensitivityFiles.json);
  if (!existsSync(path)) return undefined;
  const report = readJson(path) as Partial<SensitivityReport> | null;
  if (report?.format !== 'tram-sensitivity' || report.facts !== facts) return undefined;
  return report.base && report.layers ? (report as SensitivityReport) : undefined;
}

async function draw(
  report: SensitivityReport,
  out: string,
  listener: NonNullable<SensitivityOptions['listener']>,
): Promise<void> {
  const { treated, run, layers, images, base } = report;
  const what = treated.kind === 'quantized' ? 'quantised' : `multiplying with ${treated.multiplier}`;
  const svg = await layersPicture(
    layers.map(({ name, accuracyChange, lossChange, share }) => ({ name, accuracyChange, lossChange, share })),
    `${run.model} on ${run.data}: one layer at a time ${what}, ${images} test images; without: ${(100 * base.accuracy).toFixed(2)} %`,
  );
  writeInside(out, sensitivityFiles.svg, svg);
  try {
    writeInside(out, sensitivityFiles.png, await svgToPng(svg));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    listener({ kind: 'note', text: error.message });
  }
}
