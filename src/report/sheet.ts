// A contact sheet: some images of a data set in rows of their classes, as one SVG with its pixels inside. Images are
// raw bytes, [height, width, channels] of 1 or 3 channels; a pixel stays a pixel however large it is shown.

import { encodeImagePng } from './png.ts';
import { element, escapeText } from './svg.ts';
import { textWidth } from './theme.ts';

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
const FONT_SIZE = 12;
/** Pixels of the longer side of an image on the sheet. */
const SHOWN = 64;

/** The sheet as SVG text; `maximum` is the raw value that is shown white. */
export function contactSheet(rows: readonly SheetRow[], size: SheetImageSize, maximum: number): string {
  const scale = SHOWN / Math.max(size.height, size.width);
  const [width, height] = [Math.round(size.width * scale), Math.round(size.height * scale)];
  const margin = 16 + Math.max(...rows.map(({ title }) => textWidth(clipped(title), FONT_SIZE)));
  const columns = rows.reduce((most, { images }) => Math.max(most, images.length), 0);
  const total = { width: margin + columns * (width + GAP), height: rows.length * (height + GAP) + GAP };
  const shown = (image: Uint8Array) => image.map((raw) => Math.min(255, Math.round((raw * 255) / maximum)));
  const parts = rows.flatMap(({ title, images }, row) => {
    const y = GAP + row * (height + GAP);
    const text = element(
      'text',
      { x: margin - 8, y: y + height / 2 + 4, 'text-anchor': 'end' },
      escapeText(clipped(title)),
    );
    const pictures = images.map((image, column) => {
      const href = `data:image/png;base64,${Buffer.from(encodeImagePng(size.width, size.height, shown(image))).toString('base64')}`;
      const place = { x: margin + column * (width + GAP), y, width, height };
      return element('image', { ...place, href, style: 'image-rendering: optimizeSpeed; image-rendering: pixelated;' });
    });
    return [text, ...pictures];
  });
  const root = {
    xmlns: 'http://www.w3.org/2000/svg',
    viewBox: `0 0 ${total.width} ${total.height}`,
    ...total,
    'font-family': 'sans-serif',
    'font-size': FONT_SIZE,
  };
  return element('svg', root, element('rect', { ...total, fill: 'white' }), ...parts);
}

const clipped = (title: string): string => (title.length > 20 ? `${title.slice(0, 19)}…` : title);
