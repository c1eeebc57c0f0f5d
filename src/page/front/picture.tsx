// Accuracy over power as a picture whose points lead to their multipliers: by a click, or by Tab and Enter. One kind of
// power on the axis; bars are 95 % intervals over seeds, dashed is the front, dotted where a network still works.

import { useEffect, useRef, useState } from 'preact/hooks';
import { type FrontPoint, type FrontSeries, powerTitles, seriesTitles } from '../../report/front.ts';
import { placeLabels } from '../../report/labels.ts';
import { textWidth } from '../../report/theme.ts';
import { percent, significant } from '../../tensor/numbers.ts';
import { frontAxes, staircases } from './axes.ts';

export interface LinkedPoint extends FrontPoint {
  readonly name: string;
  /** Where a click leads; undefined where its multiplier is not there. */
  readonly href: string | undefined;
}

export interface FrontPictureProps {
  readonly points: readonly LinkedPoint[];
  readonly goal?: { readonly accuracy: number; readonly label: string } | undefined;
  /** Added to the title of the axis. */
  readonly technology?: string | undefined;
}

const looks: Readonly<Record<FrontSeries, { colour: string; sign: string }>> = {
  trained: { colour: 'series-1', sign: 'M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z' },
  exact: { colour: 'series-2', sign: 'M-5-5h10v10h-10z' },
  'exact-retrained': { colour: 'series-2', sign: 'M-5-5h10v10h-10z' },
  truncated: { colour: 'series-3', sign: 'M-6-5h12l-6 11z' },
  given: { colour: 'series-4', sign: 'M0-7l6 7l-6 7l-6-7z' },
};

const HEIGHT = 420;
const EDGE = { left: 58, right: 18, top: 16, bottom: 66 };

export function FrontPicture({ points, goal, technology }: FrontPictureProps) {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(900);
  const [told, setTold] = useState<LinkedPoint | null>(null);
  useEffect(() => {
    const { current } = frame;
    if (!current) return;
    const watcher = new ResizeObserver(() => setWidth(Math.max(300, Math.min(1400, current.clientWidth))));
    watcher.observe(current);
    return () => watcher.disconnect();
  }, []);
  const { power, accuracy, floor } = frontAxes(points, goal?.accuracy);
  const [across, down] = [width - EDGE.left - EDGE.right, HEIGHT - EDGE.top - EDGE.bottom];
  const xOf = (value: number) => EDGE.left + across * power.share(value);
  const yOf = (value: number) => EDGE.top + down * (1 - accuracy.share(Math.min(1, Math.max(floor, value))));
  const lines = staircases(points).map((line) => line.map((at) => ({ x: xOf(at.power), y: yOf(at.accuracy) })));
  const right = width - EDGE.right;
  const goalAt = goal && goal.accuracy >= floor ? { ...goal, y: yOf(goal.accuracy) } : undefined;
  // Its words stand over the right end of its line, or over the left one where points are in the way.
  const words = goalAt ? textWidth(goalAt.label, 12) : 0;
  const isTaken = (point: LinkedPoint) =>
    xOf(point.power) > right - words - 12 && Math.abs(yOf(point.accuracy) - goalAt!.y + 9) < 16;
  const wordsAt = goalAt && points.some(isTaken) ? EDGE.left + words : right;
  const goalLines = goalAt
    ? [0, 9].map((up) => [
        { x: up === 0 ? EDGE.left : wordsAt - words, y: goalAt.y - up },
        { x: up === 0 ? right : wordsAt, y: goalAt.y - up },
      ])
    : [];
  const placed = placeLabels(
    points.map((point) => ({ x: xOf(point.power) - EDGE.left, y: yOf(point.accuracy) - EDGE.top, label: point.label })),
    [...lines, ...goalLines].map((line) => line.map(({ x, y }) => ({ x: x - EDGE.left, y: y - EDGE.top }))),
    across,
    down,
  );
  const { kind } = points[0]!;
  const title = powerTitles[kind].replace(/\)$/, technology === undefined ? ')' : `; ${technology})`);
  return (
    <figure class="front" ref={frame}>
      {/* A group, not one image: the points in it are links. */}
      <svg viewBox={`0 0 ${width} ${HEIGHT}`} width={width} height={HEIGHT} aria-label="Accuracy over power">
        {accuracy.ticks.map((tick) => (
          <g key={tick}>
            <line class="grid" x1={EDGE.left} x2={width - EDGE.right} y1={yOf(tick)} y2={yOf(tick)} />
            <text x={EDGE.left - 8} y={yOf(tick) + 4} text-anchor="end">
              {significant(100 * tick, 5)}
            </text>
          </g>
        ))}
        {power.ticks.map((tick) => (
          <g key={tick}>
            <line class="grid" y1={EDGE.top} y2={HEIGHT - EDGE.bottom} x1={xOf(tick)} x2={xOf(tick)} />
            <text x={xOf(tick)} y={HEIGHT - EDGE.bottom + 18} text-anchor="middle">
              {tick}
            </text>
          </g>
        ))}
        {linesOf(title, width).map((line, at, all) => (
          <text
            key={line}
            class="title"
            x={EDGE.left + across / 2}
            y={HEIGHT - 10 - 16 * (all.length - 1 - at)}
            text-anchor="middle"
          >
            {line}
          </text>
        ))}
        <text class="title" transform={`translate(14 ${EDGE.top + down / 2}) rotate(-90)`} text-anchor="middle">
          Accuracy (%)
        </text>
        {goalAt && (
          <g class="goal">
            <line x1={EDGE.left} x2={right} y1={goalAt.y} y2={goalAt.y} />
            <text x={wordsAt} y={goalAt.y - 5} text-anchor="end">
              {goalAt.label}
            </text>
          </g>
        )}
        {lines.map((line, at) => (
          <path
            key={`${at}`}
            class="staircase"
            d={`M${line.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L')}`}
          />
        ))}
        {points.map((point, at) => (
          <Mark
            key={point.name}
            point={point}
            x={xOf(point.power)}
            y={yOf(point.accuracy)}
            offset={placed[at]!}
            reach={{
              x: [
                xOf(Math.max(point.power / 10, point.power - (point.powerSpread ?? 0))),
                xOf(point.power + (point.powerSpread ?? 0)),
              ],
              y: [
                Math.min(HEIGHT - EDGE.bottom, yOf(point.accuracy - (point.accuracySpread ?? 0))),
                Math.max(EDGE.top, yOf(point.accuracy + (point.accuracySpread ?? 0))),
              ],
            }}
            isBelow={point.accuracy < floor}
            onTell={setTold}
          />
        ))}
      </svg>
      <Legend points={points} />
      <figcaption class="told" aria-live="polite">
        {told ? inWords(told) : 'Point at a multiplier; a click or Enter opens it.'}
      </figcaption>
    </figure>
  );
}

/** A title in one line, or in two where the screen is narrow. */
function linesOf(title: string, width: number): string[] {
  const at = title.indexOf(' (');
  return width > 600 || at < 0 ? [title] : [title.slice(0, at), title.slice(at + 1)];
}

function Legend({ points }: { readonly points: readonly LinkedPoint[] }) {
  const series = [...new Set(points.map((point) => point.series))];
  return (
    <p class="legend">
      {series.map((one) => (
        <span key={one}>
          <svg
            width={16}
            height={16}
            viewBox="-8 -8 16 16"
            aria-hidden="true"
            style={{ color: `var(--${looks[one].colour})` }}
          >
            <path d={looks[one].sign} fill="currentColor" />
          </svg>{' '}
          {seriesTitles[one]}
        </span>
      ))}
      <span class="muted">dashed: nothing cheaper is as accurate</span>
    </p>
  );
}

/** "5x5: accuracy 98.61 %, gate cost 0.362 (mean of 3 seeds)". */
export function inWords({
  name,
  accuracy,
  accuracySpread = 0,
  power,
  powerSpread = 0,
  n = 1,
  kind,
}: LinkedPoint): string {
  const half = (spread: number, text: (value: number) => string) => (spread > 0 ? ` ± ${text(spread)}` : '');
  const what = { modelled: 'modelled power', gates: 'gate cost', synthesised: 'synthesised power' }[kind];
  const seeds = n > 1 ? `; means of ${n} seeds with 95 % intervals` : '';
  const digits = (value: number) => significant(value, 3);
  return `${name}: accuracy ${percent(accuracy)}${half(accuracySpread, percent)}, ${what} ${digits(power)}${half(powerSpread, digits)}${seeds}`;
}

interface MarkProps {
  readonly point: LinkedPoint;
  readonly x: number;
  readonly y: number;
  readonly offset: { readonly dx: number; readonly dy: number; readonly tied: boolean };
  readonly reach: { readonly x: readonly [number, number]; readonly y: readonly [number, number] };
  readonly isBelow: boolean;
  readonly onTell: (point: LinkedPoint | null) => void;
}

function Mark({ point, x, y, offset, reach, isBelow, onTell }: MarkProps) {
  const { colour, sign } = looks[point.series];
  const isHollow = point.series === 'exact';
  const content = (
    <g
      class="point"
      style={{ color: `var(--${colour})` }}
      onPointerEnter={() => onTell(point)}
      onPointerLeave={() => onTell(null)}
    >
      {(point.n ?? 1) > 1 && (
        <path class="interval" d={`M${reach.x[0]} ${y}H${reach.x[1]}M${x} ${reach.y[0]}V${reach.y[1]}`} />
      )}
      {offset.tied && <path class="tie" d={`M${x} ${y}L${x + offset.dx} ${y + offset.dy}`} />}
      <circle class="target" cx={x} cy={y} r={14} />
      <path
        d={sign}
        transform={`translate(${x} ${y})`}
        fill={isHollow ? 'var(--paper)' : 'currentColor'}
        stroke="currentColor"
      />
      <text x={x + offset.dx} y={y + offset.dy + 4} text-anchor="middle">
        {point.label}
        {isBelow ? ` ↓ ${percent(point.accuracy)}` : ''}
      </text>
    </g>
  );
  if (point.href === undefined) return content;
  return (
    <a href={point.href} aria-label={inWords(point)} onFocus={() => onTell(point)} onBlur={() => onTell(null)}>
      {content}
    </a>
  );
}
