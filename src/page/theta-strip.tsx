// θ of one structure over the epochs: a column for each epoch, a row for each θ, the highest on top, from 0 (nothing is
// removed) to 1 (all of it) by colour. The canvas has a pixel for each value and is stretched without smoothing.

import { useEffect, useRef, useState } from 'preact/hooks';
import { orderedColours } from '../report/theme.ts';
import { fixed } from '../tensor/numbers.ts';

export interface ThetaStep {
  readonly epoch: number;
  readonly theta: readonly number[];
}

const ramp = orderedColours(256).map((colour) => colour.match(/\d+/g)!.map(Number));
const ROW = 12;
const MOST_HEIGHT = 260;

export function ThetaStrip({ name, steps }: { readonly name: string; readonly steps: readonly ThetaStep[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [read, setRead] = useState<string>();
  const count = Math.max(0, ...steps.map(({ theta }) => theta.length));
  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context || count === 0) return;
    const image = context.createImageData(steps.length, count);
    for (const [column, { theta }] of steps.entries()) {
      for (const [k, value] of theta.entries()) {
        const [red = 0, green = 0, blue = 0] = ramp[Math.round(255 * Math.min(Math.max(value, 0), 1))]!;
        image.data.set([red, green, blue, 255], 4 * ((count - 1 - k) * steps.length + column));
      }
    }
    context.putImageData(image, 0, 0);
  }, [steps, count]);
  const pointed = ({ offsetX, offsetY, currentTarget }: PointerEvent) => {
    const { clientWidth, clientHeight } = currentTarget as HTMLCanvasElement;
    const step = steps[Math.min(steps.length - 1, Math.floor((offsetX / clientWidth) * steps.length))];
    const k = count - 1 - Math.min(count - 1, Math.floor((offsetY / clientHeight) * count));
    const value = step?.theta[k];
    setRead(value === undefined ? undefined : `θ${k} = ${fixed(value, 3)} behind epoch ${step!.epoch}`);
  };
  const end = steps.at(-1);
  const ends = end?.theta.map((value, k) => `θ${k} ${fixed(value, 2)}`).join(', ');
  return (
    <figure class="strip">
      <figcaption>{name}</figcaption>
      <canvas
        ref={canvas}
        width={Math.max(1, steps.length)}
        height={Math.max(1, count)}
        style={{ height: `${Math.min(MOST_HEIGHT, Math.max(24, count * ROW))}px` }}
        role="img"
        aria-label={`θ of ${name} over ${steps.length} epochs; behind epoch ${end?.epoch ?? 0}: ${ends ?? 'none'}`}
        onPointerMove={pointed}
        onPointerLeave={() => setRead(undefined)}
      />
      <p class="readout muted">{read ?? `epochs ${steps[0]?.epoch ?? 0} to ${end?.epoch ?? 0}, θ0 below`}</p>
    </figure>
  );
}

/** What the colours mean. */
export function ThetaScale() {
  return (
    <p class="scale muted">
      <span>θ = 0, kept</span>
      <span class="ramp" aria-hidden="true" />
      <span>θ = 1, removed</span>
    </p>
  );
}
