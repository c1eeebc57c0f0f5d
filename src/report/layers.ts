// What each layer of a network costs when it alone is treated: bars of the change of the loss, with the change of the
// accuracy and the layer's share of the multiplications beside them; the layer that hurts most on top.

import { colours, figureWidth, fontSize, textWidth } from './theme.ts';
import { renderSpec } from './vega.ts';

export interface DrawnLayer {
  readonly name: string;
  /** Against the network in which no layer is treated, −1 … 1. */
  readonly accuracyChange: number;
  readonly lossChange: number;
  /** Of the multiplications, 0 … 1. */
  readonly share: number;
}

const ROW = 16;
const GAP = 24;
const MOST_LABEL = 260;

/** A row per layer, in the order given. */
export function layersPicture(layers: readonly DrawnLayer[], caption: string): Promise<string> {
  const names = Math.min(MOST_LABEL, Math.max(...layers.map(({ name }) => textWidth(name, fontSize.small))));
  const width = Math.floor((figureWidth - names - 2 * GAP - 60) / 3);
  const values = layers.map(({ name, accuracyChange, lossChange, share }) => ({
    name,
    loss: lossChange,
    accuracy: 100 * accuracyChange,
    share: 100 * share,
  }));
  const panel = (field: string, title: string, colour: string, isFirst: boolean) => ({
    width,
    height: { step: ROW },
    mark: { type: 'bar', color: colour },
    encoding: {
      y: { field: 'name', type: 'nominal', sort: null, title: null, axis: isFirst ? { labelLimit: MOST_LABEL } : null },
      // On top, where the layers are that hurt: the picture of many layers is taller than a page.
      x: { field, type: 'quantitative', title, axis: { tickCount: 4, orient: 'top', grid: true } },
    },
  });
  return renderSpec({
    title: { text: caption, fontSize: fontSize.small, fontWeight: 'normal', color: colours.muted, limit: figureWidth },
    data: { values },
    spacing: GAP,
    hconcat: [
      panel('loss', 'Change of the loss', colours.orange, true),
      panel('accuracy', 'Change of accuracy (points)', colours.blue, false),
      panel('share', 'Share of multiplications (%)', colours.faint, false),
    ],
  });
}
