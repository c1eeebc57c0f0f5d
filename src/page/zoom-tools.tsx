// The buttons over a drawing that can be zoomed, and the keys that it takes: one set for every drawing (pan-zoom.ts).

import type { ComponentChildren } from 'preact';
import type { usePanZoom } from './pan-zoom.ts';

type Zoom = Pick<ReturnType<typeof usePanZoom>, 'zoomIn' | 'zoomOut' | 'reset'>;

/** `label`: of the drawing; `children`: what else stands beside the buttons. */
export function ZoomTools({
  zoom: { zoomIn, zoomOut, reset },
  label,
  children,
}: {
  readonly zoom: Zoom;
  readonly label: string;
  readonly children: ComponentChildren;
}) {
  return (
    <div class="tools">
      <button type="button" onClick={zoomIn} aria-label={`Zoom in: ${label}`}>
        +
      </button>
      <button type="button" onClick={zoomOut} aria-label={`Zoom out: ${label}`}>
        −
      </button>
      <button type="button" onClick={reset}>
        Whole
      </button>
      {children}
    </div>
  );
}

/** Does what a key means: + and = zoom in, − out, 0 shows all, and `more` keys of the drawing's own. */
export function actOnKey(
  event: KeyboardEvent,
  { zoomIn, zoomOut, reset }: Zoom,
  more: Readonly<Record<string, () => void>>,
): void {
  const keys: Readonly<Record<string, () => void>> = { ...more, '+': zoomIn, '=': zoomIn, '-': zoomOut, 0: reset };
  const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}
