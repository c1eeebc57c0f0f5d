// A contact sheet: some images of a data set in rows of their classes, as one SVG with its pixels inside. Images are
// raw bytes, [height, width, channels] of 1 or 3 channels; a pixel stays a pixel however large it is shown.

import { crc32, deflateSync } from 'node:zlib';
import { element, escapeText } from './svg.ts';

/** One row of a sheet. */
export interface SheetRow {
  /** The class. */
  readonly title: string;
  readonly images: readonly Uint8Array[];
}

export interface SheetImageSize {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

const GAP = 4;
const TITLE_WIDTH = 140;
/** Pixels of the longer side of an image on the sheet. */
const SHOWN = 64;

/** The sheet as SVG text; `maximum` is the raw value that is shown white. */
export function contactSheet(rows: readonly SheetRow[], size: SheetImageSize, maximum: number): string {
  const scale = SHOWN / Math.max(size.height, size.width);
  const [width, height] = [Math.round(size.width * scale), Math.round(size.height * scale)];
  const columns = rows.reduce((most, { images }) => Math.max(most, images.length), 0);
  const total = { width: TITLE_WIDTH + columns * (width + GAP), height: rows.length * (height + GAP) + GAP };
  const parts = rows.flatMap(({ title, images }, row) => {
    const y = GAP + row * (height + GAP);
    const text = element(
      'text',
      { x: TITLE_WIDTH - 8, y: y + height / 2 + 4, 'text-anchor': 'end' },
      escapeText(clipped(title)),
    );
    const pictures = images.map((image, column) => {
      const href = `data:image/png;base64,${Buffer.from(writePng(image, size, maximum)).toString('base64')}`;
      const place = { x: TITLE_WIDTH + column * (width + GAP), y, width, height };
      return element('image', { ...place, href, style: 'image-rendering: pixelated' });
    });
    return [text, ...pictures];
  });
  const root = {
    xmlns: 'http://www.w3.org/2000/svg',
    viewBox: `0 0 ${total.width} ${total.height}`,
    ...total,
    'font-family': 'sans-serif',
    'font-size': 12,
  };
  return element('svg', root, element('rect', { ...total, fill: 'white' }), ...parts);
}

const clipped = (title: string): string => (title.length > 20 ? `${title.slice(0, 19)}…` : title);

/** Raw values 0 … maximum as a PNG file of 8 bits (ISO/IEC 15948), grey or RGB. */
export function writePng(image: Uint8Array, { height, width, channels }: SheetImageSize, maximum: number): Uint8Array {
  const row = width * channels;
  const lines = new Uint8Array(height * (1 + row));
  for (let y = 0; y < height; y++) {
    // Each row begins with its filter: none.
    for (let k = 0; k < row; k++) {
      lines[y * (1 + row) + 1 + k] = Math.min(255, Math.round((image[y * row + k]! * 255) / maximum));
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, channels === 3 ? 2 : 0, 0, 0, 0], 8);
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(lines)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Uint8Array): Buffer {
  const content = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(content), 4);
  return Buffer.concat([frame.subarray(0, 4), content, frame.subarray(4)]);
}
