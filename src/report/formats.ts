// The forms of a figure's file: SVG as drawn, PNG at twice its size for slides, PDF as vectors for LaTeX. In the last
// two the text is drawn with fonts of this machine, so they need one.

import { svgToPdf } from './pdf.ts';
import { svgToPng } from './png.ts';

export const figureFormats = ['svg', 'png', 'pdf'] as const;
export type FigureFormat = (typeof figureFormats)[number];

export interface FigureFile {
  /** Of the file's name, without a dot. */
  readonly ending: FigureFormat;
  readonly content: string | Uint8Array;
}

/** A UserError where PNG or PDF is wanted and there is no font. */
export async function figureFiles(svg: string, formats: readonly FigureFormat[]): Promise<FigureFile[]> {
  const files: FigureFile[] = [];
  for (const ending of formats) {
    const content = ending === 'svg' ? svg : ending === 'png' ? await svgToPng(svg) : await svgToPdf(svg);
    files.push({ ending, content });
  }
  return files;
}
