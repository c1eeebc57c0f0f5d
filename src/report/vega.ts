// Vega-Lite specification → SVG text. The libraries are heavy, so they load with the first figure. Without a canvas
// Vega guesses text widths very generously; it is given the theme's estimate instead, which keeps legends and axes in
// place.

import type { TopLevelSpec } from 'vega-lite';
import { numberIds } from './svg.ts';
import { textWidth, vegaConfig } from './theme.ts';

interface MeasuredText {
  readonly fontSize?: number;
  readonly fontWeight?: string | number;
}

async function load() {
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  const metrics = (vega as unknown as { textMetrics: { width: (item: MeasuredText, text: unknown) => number } })
    .textMetrics;
  metrics.width = ({ fontSize = 11, fontWeight }, text) =>
    textWidth(String(text ?? ''), fontSize, fontWeight === 'bold');
  return { vega, vegaLite };
}

let libraries: ReturnType<typeof load> | undefined;

/** Renders a specification in the project's theme. */
export async function renderSpec(spec: object): Promise<string> {
  libraries ??= load();
  const { vega, vegaLite } = await libraries;
  const { spec: compiled } = vegaLite.compile({ ...spec, config: vegaConfig } as unknown as TopLevelSpec);
  const view = new vega.View(vega.parse(compiled), { renderer: 'none', logLevel: vega.Error });
  try {
    return numberIds(await view.toSVG());
  } finally {
    view.finalize();
  }
}
