// The multiplier explorer: one multiplier, or two side by side with what they differ in.

import { useMemo } from 'preact/hooks';
import type { ExploredMultiplier } from '../../serve/api.ts';
import { grouped } from '../../tensor/numbers.ts';
import { useAnswer } from '../answer.ts';
import type { ViewProps } from '../app.tsx';
import { Bars, operandBars } from '../multiplier/bars.tsx';
import { Chooser, hashOfChoice } from '../multiplier/chooser.tsx';
import { Dots } from '../multiplier/dots.tsx';
import { ErrorMap, signed } from '../multiplier/error-map.tsx';
import { differenceOf, distribution, type ErrorPlane, errorPlane, pairAt } from '../multiplier/errors.ts';
import { Measures } from '../multiplier/measures.tsx';
import { NetlistDrawing } from '../multiplier/netlist.tsx';
import { Scroll } from '../scroll.tsx';

export function MultiplierView({ source, route }: ViewProps) {
  const { beside } = route.query;
  const chosen = { of: route.name, beside };
  return (
    <>
      {source.isLive && <Chooser source={source} chosen={chosen} />}
      {chosen.of === '' ? (
        <p>
          Nothing is chosen yet.{' '}
          <a href={hashOfChoice({ of: 'dadda:8x8', beside: undefined })}>An exact 8×8 multiplier</a>, or{' '}
          <a href={hashOfChoice({ of: 'dadda:8x8', beside: 'truncated:8x8:columns=6' })}>beside a truncated one</a>.
        </p>
      ) : (
        <Explored key={`${chosen.of} ${beside}`} source={source} of={chosen.of} beside={beside} />
      )}
    </>
  );
}

interface ExploredProps extends Pick<ViewProps, 'source'> {
  readonly of: string;
  readonly beside: string | undefined;
}

function Explored({ source, of, beside }: ExploredProps) {
  const first = useAnswer(source, 'multiplier', { of });
  // The same question twice is one answer.
  const second = useAnswer(source, 'multiplier', { of: beside ?? of });
  const problems = [first.error, beside === undefined ? undefined : second.error].filter(
    (error) => error !== undefined,
  );
  if (problems.length > 0) {
    return (
      <>
        {problems.map((problem) => (
          <p role="alert" class="problem" key={problem}>
            {problem}
          </p>
        ))}
      </>
    );
  }
  if (!first.value || !second.value) return <p role="status">Loading…</p>;
  return <Shown multipliers={beside === undefined ? [first.value] : [first.value, second.value]} />;
}

function Shown({ multipliers }: { readonly multipliers: readonly ExploredMultiplier[] }) {
  const planes = useMemo(() => multipliers.map(errorPlane), [multipliers]);
  const [a, b] = planes;
  const difference = useMemo(() => (a && b ? differenceOf(b, a) : undefined), [a, b]);
  return (
    <div class={multipliers.length === 2 ? 'explorer pair' : 'explorer'} data-testid="explorer">
      <Notes multipliers={multipliers} />
      <div class="flow">
        <Card title="Measures">
          <Measures multipliers={multipliers} />
        </Card>
        <Card
          title="Error map"
          multipliers={multipliers}
          of={(one, at) => <Plane plane={planes[at]} multiplier={one} />}
        />
        {multipliers.length === 2 && (
          <Card title="Where they differ">
            {difference && a && b ? (
              <Difference plane={difference} first={a} names={multipliers.map(({ name }) => name)} />
            ) : (
              <p class="muted">Their operands differ, so that no pair of one is a pair of the other.</p>
            )}
          </Card>
        )}
        <Card title="Worst operands" multipliers={multipliers} of={(one) => <Worst multiplier={one} />} />
        <Card
          title="Distribution of errors"
          multipliers={multipliers}
          of={(one, at) => <Distribution plane={planes[at]} name={one.name} />}
        />
        {multipliers.some(({ operands }) => operands) && (
          <Card title="Operands in its network" multipliers={multipliers} of={(one) => <Operands multiplier={one} />} />
        )}
        <Card
          title="Partial products and adders"
          multipliers={multipliers}
          of={(one) =>
            one.dots ? <Dots dots={one.dots} label={`Dots of ${one.name}`} /> : <p class="muted">{one.withoutDots}</p>
          }
        />
      </div>
      <Card
        title="Netlist"
        multipliers={multipliers}
        of={(one) =>
          one.netlist ? (
            <NetlistDrawing netlist={one.netlist} label={`Netlist of ${one.name}`} />
          ) : (
            <p class="muted">{one.withoutNetlist}</p>
          )
        }
      />
    </div>
  );
}

type CardProps = {
  readonly title: string;
} & (
  | { readonly children: preact.ComponentChildren; readonly multipliers?: undefined }
  | {
      readonly multipliers: readonly ExploredMultiplier[];
      readonly of: (multiplier: ExploredMultiplier, at: number) => preact.ComponentChildren;
    }
);

/** A part of the view, with a column for each multiplier. */
function Card({ title, ...content }: CardProps) {
  return (
    <section class="card" aria-label={title}>
      <h2>{title}</h2>
      {content.multipliers ? (
        <div class="columns">
          {content.multipliers.map((one, at) => (
            <div key={`${at} ${one.spec}`}>
              {content.multipliers.length === 2 && <h3>{one.name}</h3>}
              {content.of(one, at)}
            </div>
          ))}
        </div>
      ) : (
        content.children
      )}
    </section>
  );
}

function Notes({ multipliers }: { readonly multipliers: readonly ExploredMultiplier[] }) {
  return (
    <div class="facts">
      {multipliers.map(({ name, spec, measures, notes }, at) => (
        <div key={`${at} ${spec}`}>
          <p>
            <strong>{name}</strong>{' '}
            <span class="muted">
              {measures.weightBits}×{measures.activationBits} bits, {measures.signed ? 'two’s complement' : 'unsigned'};{' '}
              {measures.sampled
                ? `figures estimated from ${grouped(measures.pairs)} random pairs`
                : `figures over all ${grouped(measures.pairs)} pairs`}
            </span>
          </p>
          {notes.map((note) => (
            <p class="note" key={note}>
              {note}
            </p>
          ))}
        </div>
      ))}
    </div>
  );
}

function Plane({
  plane,
  multiplier,
}: {
  readonly plane: ErrorPlane | undefined;
  readonly multiplier: ExploredMultiplier;
}) {
  if (!plane) return <p class="muted">{multiplier.withoutErrors}</p>;
  return <ErrorMap plane={plane} label={`Error map of ${multiplier.name}`} />;
}

function Difference({
  plane,
  first,
  names: [one, other],
}: {
  readonly plane: ErrorPlane;
  readonly first: ErrorPlane;
  readonly names: readonly string[];
}) {
  let [count, largest] = [0, 0];
  plane.errors.forEach((error, at) => {
    if (error !== 0) count++;
    if (Math.abs(error) > Math.abs(plane.errors[largest]!)) largest = at;
  });
  if (count === 0) return <p>Every product is the same.</p>;
  const { w, x, error } = pairAt(plane, Math.floor(largest / plane.activations), largest % plane.activations);
  return (
    <>
      <p data-testid="difference">
        {grouped(count)} of {grouped(plane.errors.length)} products differ; most at w = {grouped(w)}, x = {grouped(x)}:{' '}
        {other} gives {signed(error)} against {one}.
      </p>
      <ErrorMap
        plane={plane}
        against={first}
        label={`What ${other} gives more than ${one}`}
        words={{ error: 'difference', exact: one!, own: other! }}
      />
    </>
  );
}

function Worst({ multiplier: { measures, name } }: { readonly multiplier: ExploredMultiplier }) {
  if (measures.worst.length === 0) return <p>No product is wrong.</p>;
  return (
    <Scroll isLow label={`Worst operands of ${name}`}>
      <table>
        <thead>
          <tr>
            {['w', 'x', 'exact', 'product', 'error'].map((head) => (
              <th key={head} scope="col" class="number">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {measures.worst.map(({ w, x, exact, product, error }) => (
            <tr key={`${w} ${x}`}>
              <td class="number">{grouped(w)}</td>
              <td class="number">{grouped(x)}</td>
              <td class="number">{grouped(exact)}</td>
              <td class="number">{grouped(product)}</td>
              <td class="number">{signed(error)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Distribution({ plane, name }: { readonly plane: ErrorPlane | undefined; readonly name: string }) {
  if (!plane) return <p class="muted">Errors are not known pair by pair.</p>;
  if (plane.extreme === 0) return <p>No product is wrong.</p>;
  const bars = distribution(plane).map(({ centre, count }) => ({ at: centre, share: count / plane.errors.length }));
  return <Bars bars={bars} word="error near" isSigned colour="series-2" label={`Errors of ${name}`} />;
}

function Operands({ multiplier: { operands, measures } }: { readonly multiplier: ExploredMultiplier }) {
  if (!operands) return <p class="muted">It was met in no network.</p>;
  const { signed: isSigned } = measures;
  return (
    <>
      <Bars
        bars={operandBars(operands.weight, isSigned)}
        word="w ="
        colour="series-1"
        label="Weights among the multiplications"
      />
      <Bars
        bars={operandBars(operands.activation, isSigned)}
        word="x ="
        colour="series-2"
        label="Activations among the multiplications"
      />
    </>
  );
}
