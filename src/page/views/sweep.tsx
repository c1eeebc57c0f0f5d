// A sweep: its front as far as it has come, with the rivals, over one kind of power; the table of its points; what
// failed. Without a name: the sweeps of the folder.

import { useState } from 'preact/hooks';
import { cellsTitle, fewSeedsCaution, type PowerKind, powerKinds, type seriesTitles } from '../../report/front.ts';
import type { SweepView as SweepAnswer, SweepRow } from '../../serve/api.ts';
import { percent, significant } from '../../tensor/numbers.ts';
import { useAnswer } from '../answer.ts';
import type { ViewProps } from '../app.tsx';
import { FrontPicture, type LinkedPoint } from '../front/picture.tsx';
import { hashOf } from '../router.ts';
import { Scroll } from '../scroll.tsx';

type Point = SweepAnswer['report']['points'][number];

export function SweepView({ source, route: { name } }: ViewProps) {
  return name === '' ? <Sweeps source={source} /> : <Sweep source={source} name={name} />;
}

function Sweeps({ source }: Pick<ViewProps, 'source'>) {
  const { value, error } = useAnswer(source, 'sweeps', {}, ({ kind }) => kind === 'sweep' || kind === 'sweep-gone');
  if (error !== undefined) return <p role="alert">{error}</p>;
  if (!value) return <p role="status">Loading…</p>;
  if (value.length === 0) {
    return (
      <p>
        There is no sweep in the folder. <code>tram sweep</code> makes one: many settings, one front.
      </p>
    );
  }
  return (
    <Scroll label="Sweeps">
      <table>
        <thead>
          <tr>
            <th scope="col">Sweep</th>
            <th scope="col" class="number">
              trials
            </th>
            <th scope="col" class="number">
              done
            </th>
            <th scope="col" class="number">
              failed
            </th>
          </tr>
        </thead>
        <tbody>
          {value.map((row) => (
            <tr key={row.name}>
              <th scope="row">
                <a href={hashOf({ view: 'sweep', name: row.name })}>{row.name}</a>
                {row.problem !== undefined && <span class="problem"> {row.problem}</span>}
              </th>
              <td class="number">{row.trials}</td>
              <td class="number">{row.done}</td>
              <td class="number">{row.failed}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Sweep({ source, name }: Pick<ViewProps, 'source'> & { readonly name: string }) {
  const { value, error } = useAnswer(
    source,
    'sweep',
    { name },
    (event) => event.kind === 'sweep' && event.sweep.name === name,
  );
  const [wanted, setWanted] = useState<PowerKind>();
  const [task, setTask] = useState<string>();
  if (error !== undefined) return <p role="alert">{error}</p>;
  if (!value) return <p role="status">Loading…</p>;
  const { report, row } = value;
  const known = powerKinds.filter((kind) => report.points.some(({ power }) => power[kind]));
  const kind =
    wanted && known.includes(wanted) ? wanted : (known.findLast((one) => one === report.kind) ?? known.at(-1));
  const tasks = [...new Set(report.points.map((point) => point.task))];
  const shown = report.points.filter((point) => point.task === (task ?? tasks[0]));
  const caution = fewSeedsCaution(shown.map(({ accuracy }) => accuracy.n));
  const placed = kind ? shown.filter(({ power }) => power[kind]) : [];
  return (
    <>
      <State row={row} report={report} />
      {tasks.length > 1 && (
        <label>
          Network and data{' '}
          <select value={task ?? tasks[0]} onChange={({ currentTarget }) => setTask(currentTarget.value)}>
            {tasks.map((one) => {
              const { model, data, approximateShare } = report.points.find((point) => point.task === one)!;
              return (
                <option key={one} value={one}>
                  {model}, {data}, {percent(approximateShare, 0)} approximated
                </option>
              );
            })}
          </select>
        </label>
      )}
      {kind && <KindChoice kinds={known} kind={kind} points={shown} onChoose={setWanted} />}
      {kind && placed.length > 0 ? (
        <FrontPicture
          points={placed.map((point) => linked(point, kind, value.multipliers))}
          goal={{
            accuracy: placed[0]!.floatAccuracy.mean - report.loss,
            label: `float network − ${significant(100 * report.loss)}`,
          }}
          technology={kind === 'synthesised' && report.library !== null ? cellsTitle(report.library) : undefined}
        />
      ) : (
        <p class="muted">No trial has a power yet.</p>
      )}
      <Answer report={report} task={task ?? tasks[0]} />
      <Points points={shown} multipliers={value.multipliers} />
      {caution !== undefined && <p class="muted">{caution}.</p>}
      {report.failed.length > 0 && (
        <section aria-label="Trials that failed">
          <h2>Failed or dropped</h2>
          <ul>
            {report.failed.map((trial) => (
              <li key={trial.name}>
                <strong>{trial.name}</strong> {trial.state === 'dropped' ? 'dropped' : ''} {trial.reason}
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

function State({ row, report }: { readonly row: SweepRow; readonly report: SweepAnswer['report'] }) {
  const missing = report.missingRivals;
  return (
    <p role="status">
      {row.done} of {row.trials} trials are done{row.failed > 0 && `, ${row.failed} failed or were dropped`}.
      {missing.length > 0 && ` Rivals without a result yet: ${missing.join(', ')}.`}
    </p>
  );
}

const kindTitles: Readonly<Record<PowerKind, string>> = {
  modelled: 'modelled',
  gates: 'gates of the netlist',
  synthesised: 'synthesised',
};

/** One kind at a time: powers of different kinds are never on one axis. */
function KindChoice({
  kinds,
  kind,
  points,
  onChoose,
}: {
  readonly kinds: readonly PowerKind[];
  readonly kind: PowerKind;
  readonly points: readonly Point[];
  readonly onChoose: (kind: PowerKind) => void;
}) {
  const without = points.filter(({ power }) => !power[kind]).map(({ name }) => name);
  return (
    <fieldset class="kinds">
      <legend>Power</legend>
      {kinds.map((one) => (
        <label key={one}>
          <input type="radio" name="kind" value={one} checked={one === kind} onChange={() => onChoose(one)} />
          {kindTitles[one]}
        </label>
      ))}
      {without.length > 0 && <span class="muted">without one of this kind: {without.join(', ')}</span>}
    </fieldset>
  );
}

function linked(point: Point, kind: PowerKind, multipliers: SweepAnswer['multipliers']): LinkedPoint {
  const power = point.power[kind]!;
  const series: keyof typeof seriesTitles = point.kind === 'exact' ? 'exact-retrained' : point.kind;
  return {
    ...{ name: point.name, href: hrefOf(point, multipliers), task: point.task, series, kind },
    label: point.kind === 'exact' ? `${point.weightBits}×${point.activationBits}` : point.name,
    ...{ power: power.mean, powerSpread: power.spread, n: point.accuracy.n },
    ...{ accuracy: point.accuracy.mean, accuracySpread: point.accuracy.spread },
  };
}

function hrefOf({ name }: Point, multipliers: SweepAnswer['multipliers']): string | undefined {
  const of = multipliers[name];
  return of === undefined ? undefined : hashOf({ view: 'multiplier', name: of });
}

function Answer({ report, task }: { readonly report: SweepAnswer['report']; readonly task: string | undefined }) {
  const answer = report.answers.find((one) => one.task === task);
  if (!answer) return null;
  const within = `${significant(100 * report.loss)} points of its float network`;
  const { open } = report;
  const yet = open.length > 0 ? ' so far' : '';
  return (
    <p class="answer">
      {answer.point === null
        ? `Nothing${yet} is within ${within}.`
        : `The cheapest${yet} within ${within}: ${answer.point}.`}
    </p>
  );
}

const three = (value: number): string => value.toFixed(3);

function Points({
  points,
  multipliers,
}: {
  readonly points: readonly Point[];
  readonly multipliers: SweepAnswer['multipliers'];
}) {
  const spread = (one: Point['accuracy'] | null, text: (value: number) => string) => {
    if (!one) return '–';
    // Powers that are the same for every seed have no interval.
    return one.n > 1 && !(text === three && one.spread === 0)
      ? `${text(one.mean)} ± ${text(one.spread)}`
      : text(one.mean);
  };
  return (
    <Scroll label="Points of the front, can be scrolled">
      <table class="points">
        <thead>
          <tr>
            <th scope="col">Multiplier</th>
            <th scope="col">bits</th>
            {powerKinds.map((kind) => (
              <th key={kind} scope="col" class="number">
                {kindTitles[kind]}
              </th>
            ))}
            <th scope="col" class="number">
              accuracy
            </th>
            <th scope="col" class="number">
              seeds
            </th>
          </tr>
        </thead>
        <tbody>
          {points.map((point) => {
            const href = hrefOf(point, multipliers);
            return (
              <tr key={point.name} class={point.isOnFront ? 'best' : ''}>
                <th scope="row">
                  {href === undefined ? point.name : <a href={href}>{point.name}</a>}
                  {point.isRival && <span class="muted"> rival{point.isOnFront && ','}</span>}
                  {point.isOnFront && <span class="muted"> on the front</span>}
                </th>
                <td>
                  {point.weightBits}×{point.activationBits}
                </td>
                {powerKinds.map((kind) => (
                  <td key={kind} class="number">
                    {spread(point.power[kind], three)}
                  </td>
                ))}
                <td class="number">{spread(point.accuracy, percent)}</td>
                <td class="number">{point.seeds.length}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}
