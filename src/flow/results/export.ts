// A network of a run as a file for elsewhere: its parameters by PyTorch's names and in PyTorch's layouts, as
// safetensors or as a .pth that torch.load takes with weights_only=True. Reads the run folder alone, needs no data, no
// model and no device, and leaves the run as it is.

import { basename, resolve } from 'node:path';
import { UserError } from '../../tensor/errors.ts';
import { writeFileAtomic } from '../../tensor/files.ts';
import { decodeAll, encodeSafetensors } from '../../tensor/safetensors.ts';
import { encodeTorch } from '../../tensor/torch-writer.ts';
import { files } from '../run/folder.ts';
import { requireIntact } from '../run/integrity.ts';
import { readManifest, verifiedBytes } from '../run/manifest.ts';
import { isQuantizerVariable, publishedCheckpoint } from '../run/published.ts';
import { layerWidths } from '../settings/layers.ts';
import type { Phase } from '../settings/phases.ts';

export const exportFormats = ['pth', 'safetensors'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** The stages that have a network of their own, in order. */
export const exportStages = ['float', 'quantized', 'explored', 'recovered'] as const;
export type ExportStage = (typeof exportStages)[number];

const sources: Record<ExportStage, readonly [Phase, string]> = {
  float: ['train', files.float],
  quantized: ['quantize', files.quantized],
  explored: ['explore', files.explored],
  recovered: ['recover', files.recovered],
};

/** How the names of files of each format end. */
const endings: Readonly<Record<ExportFormat, readonly string[]>> = {
  pth: ['.pth', '.pt', '.ckpt', '.bin', '.tar'],
  safetensors: ['.safetensors'],
};

/** The format that a path and what is asked for mean together; a UserError where they mean none, or two. */
function formatOf(path: string | undefined, asked: ExportFormat | undefined): ExportFormat {
  if (path === undefined) return asked ?? 'pth';
  const named = exportFormats.find((format) => endings[format].some((ending) => path.toLowerCase().endsWith(ending)));
  if (asked && named && asked !== named) {
    throw new UserError(
      `${path} ends as ${named} does, and ${asked} is asked for; leave the format out, or name the file ${endings[asked][0]}`,
    );
  }
  const format = asked ?? named;
  if (format) return format;
  const known = Object.values(endings).flat().join(', ');
  throw new UserError(
    `${path} does not end as a format does (${known}); name it so, or say the format: ${exportFormats.join(' or ')}`,
  );
}

export interface ExportOptions {
  readonly folder: string;
  /** The file to write; one that exists is replaced. Default: RUN-STAGE.pth in the working directory. */
  readonly path?: string;
  /** Default: by the end of the path, which must be one of a format then; without a path pth. */
  readonly format?: ExportFormat;
  /** Default: the last that the run has. */
  readonly stage?: ExportStage;
  /** Also the quantisers, all as the published program saves them: the start of a phase 1. Default: no. */
  readonly quantizers?: boolean;
}

export interface Exported {
  readonly path: string;
  readonly stage: ExportStage;
  readonly format: ExportFormat;
  readonly tensors: number;
  readonly bytes: number;
}

/** Writes a network of a run. Throws a UserError. */
export function exportNetwork({ folder, quantizers = false, ...asked }: ExportOptions): Exported {
  const manifest = readManifest(folder);
  requireIntact(folder, manifest.phases);
  const done = exportStages.filter((stage) => manifest.phases[sources[stage][0]]);
  const stage = asked.stage ?? done.at(-1);
  if (stage === undefined || !done.includes(stage)) {
    throw new UserError(`${folder} has no ${stage ?? 'trained'} network; it has ${done.join(', ') || 'none yet'}`);
  }
  const format = formatOf(asked.path, asked.format);
  const path = asked.path ?? `${basename(resolve(folder))}-${stage}.${format}`;
  const [phase, file] = sources[stage];
  const { tensors } = decodeAll(verifiedBytes(folder, manifest.phases[phase]!, file), file);
  const { configuration, inputs } = manifest;
  const names = inputs.layers.map(({ name }) => name);
  const layers = new Set(names);
  // Structure parameters stand beside the network: alone, or with the layers that have their own.
  const isTheta = (name: string) => name === 'theta' || (name.endsWith('.theta') && layers.has(name.slice(0, -6)));
  const network = new Map([...tensors].filter(([name]) => !isTheta(name)));
  const widths = layerWidths(configuration, inputs.layers);
  if (quantizers && stage === 'float') {
    throw new UserError(
      `the float network of ${folder} has no quantisers; choose the stage ${exportStages[1]} or a later one`,
    );
  }
  const written = quantizers
    ? publishedCheckpoint(network, {
        layers: names,
        widthsOf: (layer) => widths.get(layer)!,
        holdsZero: configuration.quantize.range === 'with-zero',
      })
    : new Map([...network].filter(([name]) => !isQuantizerVariable(name, layers)));
  const bytes = format === 'pth' ? encodeTorch(written) : encodeSafetensors(written, { format: 'pt' });
  writeFileAtomic(path, bytes);
  return { path, stage, format, tensors: written.size, bytes: bytes.length };
}
