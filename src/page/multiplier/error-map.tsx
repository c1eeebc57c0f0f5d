// The error of a multiplier at every pair of operands as a picture that can be zoomed: one colour per pair, a line of
// text for the pair under the pointer or the cursor of the keys. Drawn on a canvas, for 65 536 marks are no document.

import { useEffect, useMemo, useState } from 'preact/hooks';
import { type Colour, divergingColour } from '../../report/theme.ts';
import { grouped } from '../../tensor/numbers.ts';
import { type Sight, showing, usePanZoom } from '../pan-zoom.ts';
import { hasMoved } from '../pointer.ts';
import { useTheme } from '../theme.ts';
import { actOnKey, ZoomTools } from '../zoom-tools.tsx';
import { type ErrorPlane, pairAt } from './errors.ts';

interface Cursor {
  readonly row: number;
  readonly column: number;
}

export interface ErrorMapProps {
  readonly plane: ErrorPlane;
  /** What it shows, for those who do not see it. */
  readonly label: string;
  /** Words for an error and for the two values behind it. */
  readonly words?: { readonly error: string; readonly exact: string; readonly own: string } | undefined;
  /** Of what the values are told, where the plane is a difference: the second multiplier. */
  readonly against?: ErrorPlane | undefined;
}

const PIXELS = 720;
const MOST_SCALE = 32;

/** Zero is the colour of a dark page, so that what errs shines. */
const darkStops: readonly Colour[] = [
  [190, 226, 255],
  [64, 148, 214],
  [36, 78, 116],
  [32, 37, 44],
  [122, 62, 20],
  [224, 110, 26],
  [255, 205, 150],
];

function colourIn(theme: 'light' | 'dark'): (share: number) => Colour {
  if (theme === 'light') return divergingColour;
  return (share) => {
    const position = Math.min(1, Math.max(0, (share + 1) / 2)) * (darkStops.length - 1);
    const first = Math.min(Math.floor(position), darkStops.length - 2);
    const [from, to] = [darkStops[first]!, darkStops[first + 1]!];
    return from.map((part, k) => Math.round(part + (to[k]! - part) * (position - first))) as unknown as Colour;
  };
}

/** A pixel per pair, the greatest weight on top. */
function pictureOf({ errors, weights, activations, extreme }: ErrorPlane, colour: (share: number) => Colour) {
  const canvas = new OffscreenCanvas(activations, weights);
  const context = canvas.getContext('2d')!;
  const image = context.createImageData(activations, weights);
  const palette = Array.from({ length: 511 }, (_, at) => colour((at - 255) / 255));
  for (let row = 0; row < weights; row++) {
    const top = (weights - 1 - row) * activations;
    for (let column = 0; column < activations; column++) {
      const error = errors[row * activations + column]!;
      const shade = palette[255 + (extreme === 0 ? 0 : Math.round((255 * error) / extreme))]!;
      image.data.set(shade, 4 * (top + column));
      image.data[4 * (top + column) + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

export function ErrorMap({ plane, label, words, against }: ErrorMapProps) {
  const [theme] = useTheme();
  const zoom = usePanZoom<HTMLCanvasElement>(MOST_SCALE);
  const { element, sight, setSight, placeOf, drag } = zoom;
  const [cursor, setCursor] = useState<Cursor | null>(null);
  const colour = useMemo(() => colourIn(theme), [theme]);
  const picture = useMemo(() => pictureOf(plane, colour), [plane, colour]);
  useEffect(() => {
    const context = element.current?.getContext('2d');
    if (!context) return;
    context.imageSmoothingEnabled = false;
    const { weights, activations } = plane;
    const part = [sight.x * activations, sight.y * weights, activations / sight.scale, weights / sight.scale] as const;
    context.drawImage(picture, ...part, 0, 0, PIXELS, PIXELS);
    if (cursor) outline(context, plane, sight, cursor, theme);
  }, [element, picture, plane, sight, cursor, theme]);
  const at = (event: PointerEvent): Cursor => {
    const place = placeOf(event);
    const inside = (share: number, count: number) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
    const [x, y] = [sight.x + place.x / sight.scale, sight.y + place.y / sight.scale];
    return { column: inside(x, plane.activations), row: plane.weights - 1 - inside(y, plane.weights) };
  };
  const step = (rows: number, columns: number) => {
    const { weights, activations } = plane;
    const from = cursor ?? { row: weights - 1, column: 0 };
    const row = Math.min(weights - 1, Math.max(0, from.row + rows));
    const column = Math.min(activations - 1, Math.max(0, from.column + columns));
    setCursor({ row, column });
    setSight((before) => showing(before, { x: (column + 0.5) / activations, y: 1 - (row + 0.5) / weights }));
  };
  const onKey = (event: KeyboardEvent) => {
    const size = event.shiftKey ? 16 : 1;
    actOnKey(event, zoom, {
      ArrowUp: () => step(size, 0),
      ArrowDown: () => step(-size, 0),
      ArrowRight: () => step(0, size),
      ArrowLeft: () => step(0, -size),
    });
  };
  return (
    <figure class="error-map">
      <ZoomTools zoom={zoom} label={label}>
        <Scale plane={plane} colour={colour} />
      </ZoomTools>
      <div class="plane">
        <span class="side muted">w ↑</span>
        {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: it takes keys of its own, as an application does */}
        <canvas
          ref={element}
          width={PIXELS}
          height={PIXELS}
          role="application"
          aria-label={`${label}. Arrow keys move through the pairs, plus and minus zoom, 0 shows all.`}
          tabIndex={0}
          class={sight.scale > 1 ? 'grab' : ''}
          onKeyDown={onKey}
          onPointerDown={drag.begin}
          onPointerUp={drag.end}
          onPointerCancel={drag.end}
          onPointerMove={(event) => {
            if (!drag.move(event) && hasMoved(event)) setCursor(at(event));
          }}
          onClick={(event) => setCursor(at(event as unknown as PointerEvent))}
        />
        <span class="muted below">x →</span>
      </div>
      <figcaption class="told" aria-live="polite" data-testid="pair">
        {cursor ? (
          <Told plane={plane} cursor={cursor} words={words} against={against} />
        ) : (
          'Point at a pair of operands.'
        )}
      </figcaption>
    </figure>
  );
}

function outline(
  context: CanvasRenderingContext2D,
  { weights, activations }: ErrorPlane,
  sight: Sight,
  { row, column }: Cursor,
  theme: 'light' | 'dark',
) {
  const [width, height] = [(PIXELS * sight.scale) / activations, (PIXELS * sight.scale) / weights];
  const x = (column / activations - sight.x) * sight.scale * PIXELS;
  const y = ((weights - 1 - row) / weights - sight.y) * sight.scale * PIXELS;
  context.strokeStyle = theme === 'dark' ? '#ffffff' : '#000000';
  context.lineWidth = 2;
  const grown = Math.max(0, 9 - width) / 2;
  context.strokeRect(x - 1 - grown, y - 1 - grown, width + 2 + 2 * grown, height + 2 + 2 * grown);
}

/** `whole(−96)` is "−96", `signed(96)` "+96". */
export const signed = (value: number): string => (value > 0 ? `+${grouped(value)}` : grouped(value));

function Told({
  plane,
  cursor,
  words = { error: 'error', exact: 'exact', own: 'product' },
  against,
}: Pick<ErrorMapProps, 'plane' | 'words' | 'against'> & { readonly cursor: Cursor }) {
  const { w, x, exact, error } = pairAt(plane, cursor.row, cursor.column);
  const base = against ? exact + pairAt(against, cursor.row, cursor.column).error : exact;
  return (
    <>
      <span>
        w = {grouped(w)}, x = {grouped(x)}
      </span>{' '}
      <span>
        {words.exact} {grouped(base)}
      </span>{' '}
      <span>
        {words.own} {grouped(base + error)}
      </span>{' '}
      <strong>
        {words.error} {signed(error)}
      </strong>
    </>
  );
}

/** The colours from the most negative to the most positive error. */
function Scale({ plane, colour }: { readonly plane: ErrorPlane; readonly colour: (share: number) => Colour }) {
  const stops = Array.from({ length: 13 }, (_, at) => `rgb(${colour((at - 6) / 6).join(' ')})`);
  return (
    <span class="scale">
      <span>{grouped(-plane.extreme)}</span>
      <span class="ramp" style={{ background: `linear-gradient(to right, ${stops.join(', ')})` }} />
      <span>{signed(plane.extreme)}</span>
    </span>
  );
}
