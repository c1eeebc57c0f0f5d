// Loss, accuracy and power of runs over their epochs, as far as they have come. The axis counts the epochs of a phase,
// or of all phases one behind the other.

import { useMemo } from 'preact/hooks';
import type { Epoch } from '../serve/api.ts';
import { Chart, type Mark, type Series } from './chart.tsx';
import type { Epochs } from './runs-store.ts';

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
  epochs: { known, problems },
  phase,
}: {
  readonly runs: readonly CurveRun[];
  readonly epochs: Epochs;
  readonly phase: PhaseChoice;
}) {
  const drawn = useMemo(() => {
    const lines = runs.map((run) => ({
      ...run,
      epochs: (known.get(run.name) ?? []).filter((epoch) => phase === 'all' || epoch.phase === phase),
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
  }, [runs, known, phase]);
  const isAwaited = runs.some(({ name }) => !known.has(name) && !problems.has(name));
  const isKnown = runs.some(({ name }) => known.has(name));
  return (
    <>
      <Missing problems={problems} />
      {drawn.length > 0 ? (
        <div class="charts">
          {drawn.map((one) => (
            <Chart key={one.title} {...one} />
          ))}
        </div>
      ) : isAwaited ? (
        <p class="muted">Loading the epochs…</p>
      ) : isKnown ? (
        <p class="muted">No epoch has been logged yet.</p>
      ) : null}
    </>
  );
}

/** Of which runs there is no curve, and why: a line for each reason. */
function Missing({ problems }: Pick<Epochs, 'problems'>) {
  const reasons = [...new Set(problems.values())];
  return reasons.map((reason) => {
    const names = [...problems].flatMap(([name, one]) => (one === reason ? [name] : []));
    const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
    return <p key={reason} role="alert">{`No curves of ${names.slice(0, 3).join(', ')}${more}: ${reason}`}</p>;
  });
}
