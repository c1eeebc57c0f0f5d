// The manifest of a run folder: what was asked for, what went in, which phases are done and what each came to, with the
// hash of every file it wrote. It is the only truth about a run: nothing is read from a log or a file name. Checked by
// its schema on every reading.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { ErrorMetrics } from '../../multiplier/metrics.ts';
import { operandOrders } from '../../multiplier/table.ts';
import { type Certificate, certifiedForms } from '../../netlist/certify.ts';
import { invariant, quoted, UserError } from '../../tensor/errors.ts';
import { isInside, readBytes, readJson, sha256, writeJsonInside } from '../../tensor/files.ts';
import {
  type Configuration,
  type ConfigurationInput,
  configurationSchema,
  describeIssues,
} from '../settings/config.ts';
import { approximateLayers, withLayerBits } from '../settings/layers.ts';
import { askedThen, asMeant, phases } from '../settings/phases.ts';
import { emulations, precisions } from './device.ts';
import { SWEEP_PLAN } from './folder.ts';
import { type StageResult, stages } from './stages.ts';
import type { WrittenModels } from './written.ts';

export const MANIFEST_VERSION = 2;

/**
 * A name that becomes the name of files: no folder, nothing hidden, nothing that a shell or a terminal takes for
 * something else.
 */
export const fileName = z.string().regex(/^[A-Za-z0-9_][\w.-]*$/, 'expected letters, digits, _, . and - alone');

/** The path of a file in the run folder. */
const filePath = z
  .string()
  .refine(
    (path) => isInside(path) && path.split('/').every((name) => fileName.safeParse(name).success),
    'expected the path of a file inside the run folder',
  );

const hash = z.string().regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 in hexadecimal');

const stageResult = z.strictObject({
  stage: z.enum(stages),
  accuracy: z.number(),
  loss: z.number(),
  power: z.number().optional(),
  gateCost: z.number().optional(),
});

const errorMetricsRecord: z.ZodType<ErrorMetrics> = z.strictObject({
  errorRate: z.number(),
  meanErrorDistance: z.number(),
  normalizedMeanErrorDistance: z.number(),
  meanSquareError: z.number(),
  maxErrorDistance: z.number(),
  meanRelativeErrorDistance: z.number(),
  meanRelativeErrorOfNonzero: z.number(),
  meanError: z.number(),
  errorVariance: z.number(),
  worst: z.strictObject({ w: z.int(), x: z.int(), product: z.number(), exact: z.number() }),
});

const certificateRecord: z.ZodType<Certificate> = z.strictObject({
  forms: z.array(z.enum(certifiedForms)),
  pairs: z.int(),
  sha256: z.strictObject({
    blif: z.string().exactOptional(),
    verilog: z.string().exactOptional(),
    table: z.string(),
  }),
});

const multiplierRecord = z.strictObject({
  name: fileName,
  layers: z.array(z.string()),
  /** Empty for an imported multiplier. */
  theta: z.array(z.number()),
  /** Null for a multiplier that is known by its table alone. */
  gateCost: z.number().nullable(),
  /** Null for an imported multiplier. */
  mseToTarget: z.number().nullable(),
  signed: z.boolean(),
  /** Over all operand pairs alike. */
  metrics: errorMetricsRecord,
  /** Which operand of an imported multiplier's source is the first; in the run's files the weight is. */
  operandOrder: z.enum(operandOrders).optional(),
  certificate: certificateRecord,
});
export type MultiplierRecord = z.output<typeof multiplierRecord>;

/** Of 2, 3, … 8 bits. */
const harmsByBits = z.array(z.number()).length(7);

const targetRecord = z.strictObject({
  /** Modelled, relative to the exact 8×8 multiplier; `soft`: before θ was set to 0 and 1. */
  power: z.strictObject({ target: z.number().exactOptional(), soft: z.number(), reached: z.number() }),
  /** Points of accuracy against the quantised network, on so many training images. */
  loss: z.strictObject({ target: z.number(), estimated: z.number(), images: z.int() }).exactOptional(),
  /** λ in the end. */
  lambda: z.number(),
});
/** What the targets of a run came to in phase 1. */
export type TargetOutcome = z.output<typeof targetRecord>;

/** Layers that share multipliers, and what other numbers of them would have cost where they were put together. */
export const typesRecord = z.strictObject({
  /** None where every layer keeps its own. */
  kinds: z
    .array(z.strictObject({ name: fileName, layers: z.array(z.string()).min(1), weights: z.array(z.number()) }))
    .exactOptional(),
  /** On so many training images, before the weights have adapted; power is modelled, exact 8×8 = 1. */
  table: z.array(z.strictObject({ types: z.int(), power: z.number(), accuracy: z.number(), loss: z.number() })),
  images: z.int(),
});
export type TypesRecord = z.output<typeof typesRecord>;

/** Widths that were searched for layers, and by what. */
const widthsRecord = z.strictObject({
  /** As `quantize.layerBits` has it, of every layer that had no widths before. */
  layerBits: z.array(z.string()).min(1),
  /** Mean gate cost of exact multipliers of the approximated layers' widths, by their multiplications, 8×8 = 1. */
  cost: z.number(),
  /**
   * What runs had before harms were a phase: by how much the answers differ when one operand of one layer has so many
   * bits, all else being float; without `together`: by how much the loss rises.
   */
  harms: z.array(z.strictObject({ layer: z.string(), weights: harmsByBits, activations: harmsByBits })).exactOptional(),
  /** Training images that it was measured on. */
  images: z.int(),
  /**
   * The same of all layers together, before training: of what was found, the sum, the first choice, and the rival. With
   * `changed`, what the answers change by, the others count weights a quarter.
   */
  together: z
    .strictObject({
      ...{ expected: z.number(), measured: z.number(), changed: z.number().exactOptional(), first: z.number() },
      uniform: z.strictObject({ widths: z.string(), measured: z.number(), changed: z.number().exactOptional() }),
    })
    .exactOptional(),
});
export type WidthsRecord = z.output<typeof widthsRecord>;

const phaseRecord = z.strictObject({
  /** The part of the configuration that this phase depends on, as JSON text: other settings make other results. */
  settings: z.string().refine(isJsonObject, 'expected an object as JSON text'),
  /** SHA-256 of each file that the phase wrote, by its path in the folder. */
  files: z.record(filePath, hash),
  /** SHA-256 of the lines that the phase added to metrics.jsonl; absent when it trained nothing. */
  metrics: hash.optional(),
  stages: z.array(stageResult),
  /** What came of the targets of exploration. */
  targets: targetRecord.optional(),
  types: typesRecord.optional(),
  /** Of quantisation, where widths were searched. */
  widths: widthsRecord.exactOptional(),
  /** What it was trained at, where it had diverged at the learning rate of the settings. */
  halvedRate: z.number().positive().exactOptional(),
  multipliers: z.array(multiplierRecord).optional(),
  /** Nothing was trained or calibrated: what the phase gives came with the checkpoint. */
  from: z.literal('checkpoint').exactOptional(),
  /** Wall-clock time of the phase; of its last part where it was interrupted. */
  seconds: z.number().nonnegative(),
  /** ISO date and time. */
  finished: z.string(),
  device: z.strictObject({
    name: z.string(),
    /** What it computed with, for people. */
    detail: z.string(),
    /** The same as facts, where the device has such a choice; versions until 0.2 did not keep them. */
    threads: z.int().exactOptional(),
    /** How many trained together, where there were several. */
    devices: z.int().min(2).exactOptional(),
    /** Where it was interrupted and went on: on how many devices, one number after the other. */
    parts: z.array(z.int().min(1)).min(2).exactOptional(),
    precision: z.enum(precisions).exactOptional(),
    emulation: z.enum(emulations).exactOptional(),
  }),
  /** The command line that did the phase, where there was one. */
  command: z.string().optional(),
});
export type PhaseRecord = z.output<typeof phaseRecord>;

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** A stage as the manifest stores it, without keys that are undefined. */
export function stageResultOf({ power, gateCost, ...rest }: z.output<typeof stageResult>): StageResult {
  return {
    ...rest,
    ...(power === undefined ? {} : { power }),
    ...(gateCost === undefined ? {} : { gateCost }),
  };
}

/** Everything that a reader of the run needs of its inputs, so that nobody has to open them again. */
const inputsRecord = z.strictObject({
  data: z.strictObject({
    name: z.string(),
    sha256: z.string(),
    /** The working directory from which a relative path to the data was found. */
    directory: z.string(),
    trainImages: z.int(),
    testImages: z.int(),
    classes: z.int(),
    image: z.strictObject({ height: z.int(), width: z.int(), channels: z.int() }),
    /** Of the training split, one per channel: an input is (raw / scale − mean) / deviation. */
    mean: z.array(z.number()),
    deviation: z.array(z.number()),
    /** The raw value that means 1.0. */
    scale: z.number(),
    /** Training and test images of each class. */
    classCounts: z.array(z.int()),
    /** One sentence: how the test images were chosen. */
    split: z.string(),
    /** Where the labels were read from, when that was a choice. */
    labels: z.string().optional(),
    /** By class number, where the data name their classes. */
    classNames: z.array(z.string()).optional(),
    /** Image files that were left out because they cannot be decoded. */
    badImages: z.array(z.string()).optional(),
  }),
  /** The layers that multiply, with their multiplications per image. */
  layers: z.array(
    z.strictObject({
      name: z.string(),
      macs: z.number(),
      kind: z.enum(['convolution', 'linear']).optional(),
      /** Whether it is approximated unless the settings say otherwise. */
      usual: z.boolean().optional(),
    }),
  ),
  /** Matrix products of computed operands, in float32: by the layer or block that they belong to. */
  products: z.array(z.strictObject({ name: z.string(), macs: z.number() })).exactOptional(),
  /** The file that the model came from, where it is the user's own. */
  model: z.strictObject({ path: z.string(), sha256: z.string() }).optional(),
  /** The float model that the run started from. */
  checkpoint: z.strictObject({ path: z.string(), sha256: z.string() }).optional(),
  /** The multiplier that was given instead of mapping θ: a file's path, or a generator. */
  multiplier: z.strictObject({ source: z.string(), sha256: z.string() }).optional(),
});
export type RunInputs = z.output<typeof inputsRecord>;

const givenRecord = z.custom<ConfigurationInput>(
  (given) => configurationSchema.safeParse(given).success,
  'expected settings',
);

const manifestSchema = z.strictObject({
  format: z.literal('tram-run'),
  version: z.literal(MANIFEST_VERSION),
  program: z.strictObject({ tram: z.string(), node: z.string() }),
  created: z.string(),
  /**
   * What was asked for, without the defaults: those that depend on other settings, as P on the widths, are filled in
   * anew each time.
   */
  given: givenRecord,
  /** The same with every default. */
  configuration: configurationSchema,
  inputs: inputsRecord,
  phases: z.partialRecord(z.enum(phases), phaseRecord),
  /** What a redone phase replaces is being removed: files, and the metrics of the phase and those behind it. */
  discarding: z.strictObject({ from: z.enum(phases), files: z.array(filePath) }).optional(),
  /** SHA-256 of the rest, so that damage to what no other hash covers (accuracies, settings) is noticed. */
  digest: hash.optional(),
});
export type Manifest = Omit<z.output<typeof manifestSchema>, 'digest'>;

export const manifestPath = (folder: string): string => join(folder, 'manifest.json');

export function hasManifest(folder: string): boolean {
  return existsSync(manifestPath(folder));
}

/** Throws a UserError where a folder is that of a sweep, in which a run was looked for. */
export function refuseSweep(folder: string): void {
  if (!existsSync(join(folder, SWEEP_PLAN))) return;
  throw new UserError(
    `${folder} is the folder of a sweep, not of a run; tram sweep ${folder} --report shows what it came to, its runs are in ${join(folder, 'trials')}`,
  );
}

export function readManifest(folder: string): Manifest {
  const path = manifestPath(folder);
  if (!existsSync(path)) {
    refuseSweep(folder);
    throw new UserError(`${folder} is not a run folder: it has no manifest.json; make one with tram run or tram train`);
  }
  const json = readJson(path, 'restore it, or make the run again in another folder');
  const parsed = manifestSchema.safeParse(asMeantThen(json));
  if (parsed.success) {
    const { digest, ...manifest } = parsed.data;
    const { digest: _, ...rest } = json as Record<string, unknown>;
    if (digest !== undefined && digest !== digestOf(rest)) {
      throw new UserError(
        `${path} was changed since the program wrote it; restore it, or remove its last entry, digest, if the change is meant`,
      );
    }
    const contradiction = contradictionIn(manifest);
    if (contradiction === undefined) return { ...manifest, configuration: withSearchedWidths(manifest) };
    throw new UserError(`${path} contradicts itself: ${contradiction}; restore it`);
  }
  const version = typeof json === 'object' && json !== null && 'version' in json ? json.version : undefined;
  if (typeof version === 'number' && version !== MANIFEST_VERSION) {
    const other = version < MANIFEST_VERSION ? 'an earlier' : 'a later';
    throw new UserError(
      `${path} was written by ${other} version of the program (format ${version}, this one reads ${MANIFEST_VERSION}); make the run again in another folder`,
    );
  }
  throw new UserError(`${path} is not a manifest of this program: ${describeIssues(parsed.error)}`);
}

/** The settings of a run with the widths that its quantisation has found for layers, behind those that were said. */
export function withSearchedWidths({
  configuration,
  phases,
}: Pick<Manifest, 'configuration' | 'phases'>): Configuration {
  const found = phases.quantize?.widths?.layerBits ?? [];
  if (found.length === 0) return configuration;
  return withLayerBits(configuration, found);
}

/** The settings as they were said. */
export function withoutSearchedWidths(manifest: Pick<Manifest, 'configuration' | 'phases'>): Configuration {
  const { configuration, phases } = manifest;
  const found = phases.quantize?.widths?.layerBits ?? [];
  const { quantize } = configuration;
  const layerBits = quantize.layerBits.filter((one) => !found.includes(one));
  return { ...configuration, quantize: { ...quantize, layerBits } };
}

/** With what settings meant that a later version has given another default. */
function asMeantThen(json: unknown): unknown {
  const { given, configuration } = (json ?? {}) as { readonly given?: unknown; readonly configuration?: unknown };
  if (typeof configuration !== 'object' || configuration === null || typeof given !== 'object') return json;
  return { ...(json as object), configuration: asMeant(configuration), given: askedThen(given ?? {}, configuration) };
}

/**
 * What one part of a manifest says against another: every layer that is approximated has one multiplier, whose table is
 * there.
 */
function contradictionIn({ inputs, configuration, phases: { map } }: Manifest): string | undefined {
  if (!map) return undefined;
  const { layers } = inputs;
  const expected = layers.length === 0 ? [] : approximateLayers(configuration, layers).map(({ name }) => name);
  const multipliers = map.multipliers ?? [];
  const found = multipliers.flatMap(({ layers }) => layers);
  const odd = [
    expected.find((name) => found.filter((other) => other === name).length !== 1),
    found.find((name) => !expected.includes(name)),
  ].find((name) => name !== undefined);
  if (odd !== undefined) return `the layer ${quoted(odd)} is not one of those that have a multiplier, each one`;
  const idle = multipliers.find(({ name, layers }) => layers.length === 0 || map.files[`${name}.npy`] === undefined);
  if (idle) return `the multiplier ${idle.name} has no layer, or no table among the files`;
  return expected.length === 0 ? 'no layer is approximated' : undefined;
}

/** Writes the manifest, or nothing where it could not be read back. */
export function writeManifest(folder: string, manifest: Manifest): void {
  const json = JSON.parse(JSON.stringify(manifest));
  const parsed = manifestSchema.safeParse(json);
  invariant(parsed.success, `the manifest cannot be written: ${parsed.success ? '' : describeIssues(parsed.error)}`);
  const contradiction = contradictionIn(parsed.data!);
  if (contradiction !== undefined) {
    throw new UserError(
      `${manifestPath(folder)} would contradict itself: ${contradiction}; make the run again in another folder`,
    );
  }
  writeJsonInside(folder, 'manifest.json', { ...json, digest: digestOf(json) });
}

function digestOf(manifest: object): string {
  return sha256(JSON.stringify(manifest));
}

/** Hashes of files of the folder, by their paths in it; those of models that were just written are known. */
export function hashFiles(folder: string, paths: readonly string[], written?: WrittenModels): Record<string, string> {
  const hashOf = (path: string) => written?.find(path)?.sha256 ?? sha256(readBytes(join(folder, path)));
  return Object.fromEntries(paths.map((path) => [path, hashOf(path)]));
}

/** The bytes of a file that a phase wrote; a missing or changed one is a UserError that names it. */
export function verifiedBytes(folder: string, record: PhaseRecord, path: string): Uint8Array {
  const bytes = readBytes(join(folder, path));
  const expected = record.files[path];
  const found = sha256(bytes);
  if (expected === found) return bytes;
  throw new UserError(
    `${join(folder, path)} is not the file that the run wrote (SHA-256 ${found.slice(0, 12)}…, the manifest says ${expected?.slice(0, 12) ?? 'nothing'}…); restore it or redo the phase with --redo`,
  );
}
