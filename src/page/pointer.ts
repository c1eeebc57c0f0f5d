// Whether the pointer itself moved, or only the page under it, as when keys scroll: browsers send the same events for
// both, and what was chosen by keys is not to be lost to a mouse that rests.

interface Spot {
  readonly screenX: number;
  readonly screenY: number;
}

let [before, now]: [Spot | undefined, Spot | undefined] = [undefined, undefined];

addEventListener(
  'pointermove',
  ({ screenX, screenY }) => {
    before = now;
    now = { screenX, screenY };
  },
  { capture: true },
);

/** For a `pointermove`, which was noted before it came here, and for what comes before the next one. */
export function hasMoved({ type, screenX, screenY }: PointerEvent): boolean {
  const last = type === 'pointermove' ? before : now;
  return last?.screenX !== screenX || last.screenY !== screenY;
}
