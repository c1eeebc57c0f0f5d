// Bars side by side along a range of whole numbers: the distribution of errors, the operands of a network. Heights by
// square roots, so that what is rare is still seen beside what is not; the axis says so.

import { useState } from 'preact/hooks';
import { grouped, percent } from '../../tensor/numbers.ts';
import { signed } from './error-map.tsx';

export interface Bar {
  /** The number that it stands for. */
  readonly at: number;
  /** 0 … 1 of all. */
  readonly share: number;
}

const [WIDTH, HEIGHT, FOOT] = [560, 130, 22];

export function Bars({
  bars,
  label,
  word,
  colour,
  isSigned = false,
}: {
  readonly bars: readonly Bar[];
  readonly label: string;
  /** What a number is: `error`, `w`. */
  readonly word: string;
  readonly colour: string;
  readonly isSigned?: boolean;
}) {
  const [told, setTold] = useState<Bar | null>(null);
  const most = bars.reduce((top, { share }) => Math.max(top, share), 0);
  const mode = bars.find(({ share }) => share === most);
  const width = WIDTH / bars.length;
  const height = (share: number) => (most === 0 ? 0 : HEIGHT * Math.sqrt(share / most));
  const number = isSigned ? signed : grouped;
  const ends = [bars[0]!, bars[Math.floor(bars.length / 2)]!, bars.at(-1)!];
  const under = (event: PointerEvent) => {
    const { left, width: seen } = (event.currentTarget as Element).getBoundingClientRect();
    const at = Math.floor(((event.clientX - left) / seen) * bars.length);
    setTold(bars[Math.min(bars.length - 1, Math.max(0, at))]!);
  };
  return (
    <figure class="bars">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT + FOOT}`}
        role="img"
        aria-label={`${label}; most frequent ${word} ${number(mode?.at ?? 0)}, ${percent(most)}`}
        onPointerMove={under}
        onPointerLeave={() => setTold(null)}
      >
        <path
          fill={`var(--${colour})`}
          d={bars
            .map(({ share }, k) => (share === 0 ? '' : bar(k * width, Math.max(1, height(share)), width)))
            .join('')}
        />
        {told && (
          <rect class="cursor" x={bars.indexOf(told) * width} y={0} width={Math.max(2, width)} height={HEIGHT} />
        )}
        <line x1={0} x2={WIDTH} y1={HEIGHT} y2={HEIGHT} class="axis" />
        {ends.map(({ at }, k) => (
          <text
            key={`${k} ${at}`}
            x={[0, WIDTH / 2, WIDTH][k]}
            y={HEIGHT + 16}
            text-anchor={['start', 'middle', 'end'][k] as 'start'}
          >
            {number(at)}
          </text>
        ))}
      </svg>
      <figcaption class="told">
        {told ? `${word} ${number(told.at)}: ${percent(told.share, 3)}` : `${label} (heights by square roots)`}
      </figcaption>
    </figure>
  );
}

const bar = (x: number, height: number, width: number): string =>
  `M${x.toFixed(2)} ${HEIGHT}v${(-height).toFixed(2)}h${Math.max(0.5, width * 0.94).toFixed(2)}v${height.toFixed(2)}z`;

/** Counts by patterns as bars by rising value. */
export function operandBars(counts: readonly number[], isSigned: boolean): Bar[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const half = counts.length / 2;
  return counts.map((_, at) => {
    const pattern = isSigned ? (at + half) % counts.length : at;
    return { at: isSigned ? at - half : at, share: total === 0 ? 0 : counts[pattern]! / total };
  });
}
