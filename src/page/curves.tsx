// Loss, accuracy and power of runs over their epochs, as far as they have come. The axis counts the epochs of a phase,
// or of all phases one behind the other.

import { useMemo } from 'preact/hooks';
import type { Epoch } from '../serve/api.ts';
import { Chart, type Mark, type Series } from './chart.tsx';

export const phaseChoices = ['all', 'train', 'quantize', 'explore', 'recover'] as const;
export type PhaseChoice = (typeof phaseChoices)[number];

/** Texts and value of a curve; those that no run has are not drawn. */
const pictures: readonly {
  readonly title: string;
  readonly of: (epoch: Epoch) => number | undefined;
  readonly isShare: boolean;
}[] = [
  { title: 'Test accuracy', of: ({ testAccuracy }) => testAccuracy, isShare: true },
  { title: 'Test loss', of: ({ testLoss }) => testLoss, isShare: false },
  { title: 'Training loss', of: ({ loss }) => loss, isShare: false },
  { title: 'Power of θ, exact 8×8 = 1', of: ({ power }) => power, isShare: false },
  { title: 'λ', of: ({ lambda }) => lambda, isShare: false },
  { title: 'Learning rate', of: ({ learningRate }) => learningRate, isShare: false },
];

export interface CurveRun {
  readonly name: string;
  readonly colour: number;
}

/** The first epoch of each phase behind the first one, counted over all phases. */
const beginningsIn = (epochs: readonly Epoch[]): Mark[] =>
  epochs.flatMap(({ phase }, at) => (at > 0 && epochs[at - 1]!.phase !== phase ? [{ at: at + 1, label: phase }] : []));

export function Curves({
  runs,
  epochs,
  phase,
}: {
  readonly runs: readonly CurveRun[];
  readonly epochs: ReadonlyMap<string, readonly Epoch[]>;
  readonly phase: PhaseChoice;
}) {
  const drawn = useMemo(() => {
    const lines = runs.map((run) => ({
      ...run,
      epochs: (epochs.get(run.name) ?? []).filter((epoch) => phase === 'all' || epoch.phase === phase),
    }));
    const length = Math.max(0, ...lines.map((line) => line.epochs.length));
    const x = Array.from({ length }, (_, at) => at + 1);
    // Of one run it can be said where a phase begins.
    const marks = lines.length === 1 && phase === 'all' ? beginningsIn(lines[0]!.epochs) : [];
    return pictures.flatMap(({ title, of, isShare }) => {
      const series: Series[] = lines.map(({ name, colour, epochs: own }) => ({
        label: name,
        colour,
        values: x.map((_, at) => (own[at] && of(own[at])) ?? null),
      }));
      return series.some(({ values }) => values.some((value) => value !== null))
        ? [{ title, x, series, isShare, marks }]
        : [];
    });
  }, [runs, epochs, phase]);
  if (drawn.length === 0) {
    const isThere = runs.every(({ name }) => epochs.has(name));
    return <p class="muted">{isThere ? 'No epoch has been logged yet.' : 'Loading the epochs…'}</p>;
  }
  return (
    <div class="charts">
      {drawn.map((one) => (
        <Chart key={one.title} {...one} />
      ))}
    </div>
  );
}
