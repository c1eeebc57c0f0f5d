// What part of a drawing is in sight: all of it at scale 1, never anything beside it. Buttons, keys, the wheel (once
// the drawing has the focus, so that a page scrolls past it), dragging and two fingers change it; one finger scrolls
// the page.

import { useCallback, useLayoutEffect, useRef, useState } from 'preact/hooks';

/** Shares of the drawing: `x` and `y` of what is at the top left, and 1 / scale of it in sight. */
export interface Sight {
  readonly scale: number;
  readonly x: number;
  readonly y: number;
}

export const WHOLE: Sight = { scale: 1, x: 0, y: 0 };

/** The drawing under `at`, shares of what is in sight, stays where it is. */
export function zoomed({ scale, x, y }: Sight, factor: number, most: number, at = { x: 0.5, y: 0.5 }): Sight {
  const next = Math.min(most, Math.max(1, scale * factor));
  return within({ scale: next, x: x + at.x / scale - at.x / next, y: y + at.y / scale - at.y / next });
}

/** Moved by shares of what is in sight. */
export function moved({ scale, x, y }: Sight, dx: number, dy: number): Sight {
  return within({ scale, x: x + dx / scale, y: y + dy / scale });
}

/** Two fingers on a drawing: the middle between them in shares of what is in sight, and how far apart they are. */
export interface Fingers {
  readonly middle: { readonly x: number; readonly y: number };
  readonly apart: number;
}

/** What was between the fingers stays between them. */
export function pinched(sight: Sight, before: Fingers, now: Fingers, most: number): Sight {
  const { scale, x, y } = zoomed(sight, now.apart / before.apart, most, before.middle);
  return moved({ scale, x, y }, before.middle.x - now.middle.x, before.middle.y - now.middle.y);
}

/** Moved as little as brings a place, in shares of the drawing, into sight, some way from the edge. */
export function showing(sight: Sight, place: { readonly x: number; readonly y: number }): Sight {
  const size = 1 / sight.scale;
  const edge = size / 8;
  const along = (from: number, at: number) => Math.min(Math.max(from, at + edge - size), at - edge);
  return within({ scale: sight.scale, x: along(sight.x, place.x), y: along(sight.y, place.y) });
}

function within({ scale, x, y }: Sight): Sight {
  const last = 1 - 1 / scale;
  return { scale, x: Math.min(last, Math.max(0, x)), y: Math.min(last, Math.max(0, y)) };
}

const STEP = 1.5;

/** The sight of an element's drawing; `most`: the largest scale. */
export function usePanZoom<E extends Element>(most: number) {
  const element = useRef<E>(null);
  const [sight, setSight] = useState(WHOLE);
  const dragged = useRef<{ readonly x: number; readonly y: number } | null>(null);
  const placeOf = useCallback((event: { readonly clientX: number; readonly clientY: number }) => {
    const { left, top, width, height } = element.current!.getBoundingClientRect();
    return { x: (event.clientX - left) / width, y: (event.clientY - top) / height };
  }, []);
  // Before the drawing is to be seen.
  useLayoutEffect(() => {
    const node = element.current;
    if (!node) return;
    const turn = (event: Event) => {
      const { deltaY, ctrlKey, clientX, clientY } = event as WheelEvent;
      if (!ctrlKey && document.activeElement !== node) return;
      event.preventDefault();
      setSight((before) => zoomed(before, 2 ** (-deltaY / 300), most, placeOf({ clientX, clientY })));
    };
    let fingers: Fingers | undefined;
    const touch = (event: Event) => {
      const [one, two, ...more] = (event as TouchEvent).touches;
      const before = fingers;
      fingers = undefined;
      if (!one || !two || more.length > 0) return;
      // Else the browser would enlarge the page.
      event.preventDefault();
      const middle = { clientX: (one.clientX + two.clientX) / 2, clientY: (one.clientY + two.clientY) / 2 };
      const apart = Math.max(1, Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY));
      const now = { middle: placeOf(middle), apart };
      fingers = now;
      if (before && event.type === 'touchmove') setSight((sight) => pinched(sight, before, now, most));
    };
    node.addEventListener('wheel', turn, { passive: false });
    const touches = ['touchstart', 'touchmove', 'touchend', 'touchcancel'];
    for (const type of touches) node.addEventListener(type, touch, { passive: false });
    return () => {
      node.removeEventListener('wheel', turn);
      for (const type of touches) node.removeEventListener(type, touch);
    };
  }, [most, placeOf]);
  return {
    element,
    sight,
    setSight,
    placeOf,
    zoomIn: () => setSight((before) => zoomed(before, STEP, most)),
    zoomOut: () => setSight((before) => zoomed(before, 1 / STEP, most)),
    reset: () => setSight(WHOLE),
    /** Whether a drag goes on; begins, moves and ends one. */
    drag: {
      begin(event: PointerEvent) {
        if (event.button !== 0 || event.pointerType === 'touch') return;
        dragged.current = placeOf(event);
        (event.currentTarget as Element).setPointerCapture(event.pointerId);
      },
      move(event: PointerEvent): boolean {
        const before = dragged.current;
        if (!before) return false;
        const now = placeOf(event);
        dragged.current = now;
        setSight((sight) => moved(sight, before.x - now.x, before.y - now.y));
        return true;
      },
      end() {
        dragged.current = null;
      },
    },
  };
}
