// PNG pictures: images written byte by byte (W3C PNG, 3rd edition), for heat maps and contact sheets inside SVGs; and
// any SVG rendered by resvg, which draws text with fonts of the system or of files. Where there is no font at all text
// would silently vanish, so rendering then refuses: the SVG is the primary artefact, its viewer has fonts.

import { crc32, deflateSync } from 'node:zlib';
import type { Resvg, ResvgRenderOptions } from '@resvg/resvg-js';
import { invariant, UserError } from '../tensor/errors.ts';
import type { Colour } from './theme.ts';

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

/** Of 8 bits: grey, red green blue, or numbers of a palette (11.2.1 of the standard). */
const colourTypes = { grey: 0, rgb: 2, palette: 3 } as const;

/** A PNG file of `samples`, 8 bits each, the top row first. */
function encodePng(
  { width, height }: { readonly width: number; readonly height: number },
  colours: keyof typeof colourTypes,
  samples: Uint8Array,
  palette?: Uint8Array,
): Uint8Array {
  const row = samples.length / height;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, colourTypes[colours], 0, 0, 0], 8);
  // Each row begins with its filter: none.
  const rows = new Uint8Array(height * (row + 1));
  for (let y = 0; y < height; y++) rows.set(samples.subarray(y * row, (y + 1) * row), y * (row + 1) + 1);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    ...(palette ? [chunk('PLTE', palette)] : []),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', new Uint8Array()),
  ]);
}

/** An image of 8-bit samples [height, width, channels], one channel or three. */
export function encodeImagePng(width: number, height: number, samples: Uint8Array): Uint8Array {
  const channels = samples.length / (width * height);
  invariant(channels === 1 || channels === 3, `${samples.length} samples for a ${width}×${height} image`);
  return encodePng({ width, height }, channels === 3 ? 'rgb' : 'grey', samples);
}

/** An 8-bit palette PNG; `indices` are height × width palette entries, the top row first. */
export function encodePalettePng(
  width: number,
  height: number,
  indices: Uint8Array,
  palette: readonly Colour[],
): Uint8Array {
  invariant(indices.length === width * height, `${indices.length} pixels for a ${width}×${height} image`);
  invariant(palette.length <= 256, `a palette of ${palette.length} colours`);
  return encodePng({ width, height }, 'palette', indices, Uint8Array.from(palette.flat()));
}

/**
 * A picture of encodePalettePng taken apart again: the palette as red, green, blue bytes, and the filtered rows, still
 * compressed.
 */
export function readPalettePng(png: Uint8Array): {
  width: number;
  height: number;
  palette: Uint8Array;
  rows: Uint8Array;
} {
  const bytes = Buffer.from(png);
  const chunks = new Map<string, Buffer[]>();
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    const type = bytes.toString('latin1', at + 4, at + 8);
    chunks.set(type, [...(chunks.get(type) ?? []), bytes.subarray(at + 8, at + 8 + length)]);
    at += 12 + length;
  }
  const [header] = chunks.get('IHDR') ?? [];
  const [palette] = chunks.get('PLTE') ?? [];
  invariant(
    header && palette && header[8] === 8 && header[9] === 3 && header[12] === 0,
    'a picture that is no palette PNG',
  );
  return {
    width: header.readUInt32BE(0),
    height: header.readUInt32BE(4),
    palette,
    rows: Buffer.concat(chunks.get('IDAT') ?? []),
  };
}

export interface PngOptions {
  /** Pixels per SVG unit; default 2. */
  readonly scale?: number;
  /** Font files (.ttf, .otf) to use beside the system's. */
  readonly fontFiles?: readonly string[];
  /** Whether the system's fonts are used; default true. */
  readonly systemFonts?: boolean;
}

/** Renders an SVG on a white ground; throws a UserError when no font is found to draw its text with. */
export async function svgToPng(svg: string, options: PngOptions = {}): Promise<Uint8Array> {
  const { scale = 2 } = options;
  const image = await open(svg, options, { background: 'white', fitTo: { mode: 'zoom', value: scale } });
  return image.render().asPng();
}

/**
 * The SVG with all styles and shapes resolved and its text as outlines; throws a UserError when no font is found to
 * draw that with.
 */
export async function simplifySvg(svg: string, options: PngOptions = {}): Promise<string> {
  return (await open(svg, options, {})).toString();
}

/** A native library that an installation may lack. */
async function loadResvg() {
  try {
    return await import('@resvg/resvg-js');
  } catch (error) {
    throw new UserError(
      `cannot draw a figure as PNG or PDF: @resvg/resvg-js cannot be loaded (${(error as Error).message}); use the SVG, or install the ` +
        'dependencies with npm ci',
    );
  }
}

async function open(svg: string, options: PngOptions, more: ResvgRenderOptions): Promise<Resvg> {
  const { Resvg } = await loadResvg();
  const { fontFiles = [], systemFonts = true } = options;
  const font = { loadSystemFonts: systemFonts, fontFiles: [...fontFiles] };
  const probe =
    '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><text y="15" font-size="15">H</text></svg>';
  if (svg.includes('<text') && new Resvg(probe, { font }).render().pixels.every((value) => value === 0)) {
    throw new UserError(
      'cannot draw a figure as PNG or PDF: no font was found on this machine and its text would be missing; use the SVG, or install a ' +
        'font (for example the package fonts-dejavu-core)',
    );
  }
  // resvg reads only the last image-rendering of a style, and knows optimizeSpeed (which stands before it) but not
  // pixelated.
  const crisp = svg.replaceAll('image-rendering: pixelated;', '');
  return new Resvg(crisp, { font, ...more });
}
