// The page of one run: what it has come to, its curves and θ as they grow, its settings, the command that makes it
// again, its files, and the way to its multipliers and its report.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { RunDetail, ThetaHistory } from '../../serve/api.ts';
import { duration, fixed, formatBytes, percent, significant } from '../../tensor/numbers.ts';
import { useAnswer } from '../answer.ts';
import type { ViewProps } from '../app.tsx';
import { isLive, RunControls } from '../controls.tsx';
import { Curves } from '../curves.tsx';
import { hashOf } from '../router.ts';
import { shortTime, stateText } from '../run-table.tsx';
import { useEpochs } from '../runs-store.ts';
import type { Source } from '../source.ts';
import { ThetaScale, ThetaStrip } from '../theta-strip.tsx';

export function RunView({ source, route: { name } }: ViewProps) {
  const { value: run, error } = useAnswer(
    source,
    'run',
    { name },
    (event) =>
      (event.kind === 'run' && event.run.name === name) ||
      (event.kind === 'job' && event.job.name === name && !isLive(event.job)),
  );
  const names = useMemo(() => [name], [name]);
  const drawn = useMemo(() => [{ name, colour: 0 }], [name]);
  const epochs = useEpochs(source, names);
  const theta = useTheta(source, name);
  if (error !== undefined) {
    return (
      <>
        <p role="alert">{error}</p>
        <RunControls source={source} name={name} />
      </>
    );
  }
  if (!run) return <p role="status">Loading…</p>;
  const { row, summary, problem = row.problem, command, owner, files } = run;
  const report = files.find(({ path }) => path.endsWith('/report.html') || path === 'report.html');
  const address = report && source.file(report.path);
  return (
    <>
      <p>
        <span class={`state ${row.state}`}>{stateText(row)}</span>
        <span class="muted">
          {row.data === '' ? null : ` · ${row.data}, ${row.model}`}
          {row.created === '' ? null : ` · begun ${shortTime(row.created)}, changed ${shortTime(row.changed)}`}
          {owner ? ` · process ${owner.pid} on ${owner.host}` : ''}
        </span>
      </p>
      {problem === undefined ? null : <p role="alert">{problem}</p>}
      <p class="links">
        {address === undefined ? null : (
          <a href={address} target="_blank" rel="noopener">
            Report
          </a>
        )}
        {row.sweep === undefined ? null : <a href={hashOf({ view: 'sweep', name: row.sweep })}>Sweep {row.sweep}</a>}
        {row.model === '' ? null : <a href={hashOf({ view: 'network', name })}>Network</a>}
      </p>
      <RunControls source={source} name={name} row={row} />
      {summary ? <p>{summary.verdict}</p> : null}
      <Stages run={run} />
      <Multipliers run={run} />
      <h2>Curves</h2>
      <Curves runs={drawn} epochs={epochs} phase="all" />
      {theta.length === 0 ? null : (
        <>
          <h2>θ over the epochs of exploration</h2>
          <ThetaScale />
          <div class="strips">
            {theta.map((one) => (
              <ThetaStrip key={one.name} {...one} />
            ))}
          </div>
        </>
      )}
      {command === '' ? null : <Command text={command} />}
      <Settings run={run} />
      <Files run={run} source={source} />
    </>
  );
}

/** θ by structure, with what events add. */
function useTheta(source: Source, name: string) {
  const isThere = useRef(false);
  const { value, askAgain } = useAnswer(
    source,
    'theta',
    { name },
    (event) => event.kind === 'run' && event.run.name === name && !isThere.current,
  );
  isThere.current = value !== undefined;
  const [added, setAdded] = useState<ThetaHistory['steps']>([]);
  useEffect(
    () =>
      source.listen((event) => {
        if (event.kind !== 'epochs' || event.name !== name) return;
        const steps = event.epochs.flatMap(({ epoch, theta }) => (theta ? [{ epoch, theta }] : []));
        // The log began anew: what was added to the old one is over.
        setAdded((before) => (event.from === 0 ? steps : [...before, ...steps]));
        if (event.from === 0) askAgain();
      }),
    [source, name, askAgain],
  );
  return useMemo(() => {
    const steps = [...(value?.steps ?? [])];
    for (const step of added) if (step.epoch > (steps.at(-1)?.epoch ?? 0)) steps.push(step);
    const structures = [...new Set(steps.flatMap(({ theta }) => Object.keys(theta)))];
    return structures.map((structure) => ({
      name: structure,
      steps: steps.map(({ epoch, theta }) => ({ epoch, theta: theta[structure] ?? [] })),
    }));
  }, [value, added]);
}

function Stages({ run: { row } }: { readonly run: RunDetail }) {
  if (row.stages.length === 0) return null;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Stages">
      <table>
        <caption class="unseen">What each stage came to</caption>
        <thead>
          <tr>
            <th scope="col">Stage</th>
            <th scope="col" class="number">
              Accuracy
            </th>
            <th scope="col" class="number">
              Loss
            </th>
            <th scope="col" class="number">
              Power
            </th>
            <th scope="col" class="number">
              Gates
            </th>
          </tr>
        </thead>
        <tbody>
          {row.stages.map(({ stage, accuracy, loss, power, gateCost }) => (
            <tr key={stage}>
              <th scope="row">{stage}</th>
              <td class="number">{percent(accuracy)}</td>
              <td class="number">{fixed(loss, 4)}</td>
              <td class="number">{power === undefined ? '–' : fixed(power, 4)}</td>
              <td class="number">{gateCost === undefined ? '–' : fixed(gateCost, 4)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Multipliers({ run: { summary, multipliers } }: { readonly run: RunDetail }) {
  if (!summary || summary.multipliers.length === 0) return null;
  return (
    <>
      <h2>Multipliers</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Multipliers">
        <table>
          <thead>
            <tr>
              <th scope="col">Multiplier</th>
              <th scope="col">Layers</th>
              <th scope="col" class="number">
                Gates
              </th>
              <th scope="col" class="number">
                NMED
              </th>
              <th scope="col" class="number">
                Wrong products
              </th>
            </tr>
          </thead>
          <tbody>
            {summary.multipliers.map(({ name, layers, gateCost, metrics }) => (
              <tr key={name}>
                <th scope="row">
                  {multipliers[name] === undefined ? (
                    name
                  ) : (
                    <a href={hashOf({ view: 'multiplier', name: multipliers[name] })}>{name}</a>
                  )}
                </th>
                <td>
                  {layers.length > 3
                    ? `${layers.slice(0, 3).join(', ')} and ${layers.length - 3} more`
                    : layers.join(', ')}
                </td>
                <td class="number">{gateCost === null ? '–' : fixed(gateCost, 4)}</td>
                <td class="number">{percent(metrics.normalizedMeanErrorDistance, 3)}</td>
                <td class="number">{percent(metrics.errorRate)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

export function Command({
  text,
  label = 'Command that makes such a run',
}: {
  readonly text: string;
  readonly label?: string;
}) {
  const [isCopied, setCopied] = useState(false);
  const copy = () => {
    navigator.clipboard?.writeText(text).then(
      () => setCopied(true),
      () => {},
    );
  };
  return (
    <>
      <h2>{label}</h2>
      <div class="command">
        <pre tabIndex={0} role="region" aria-label={label}>
          {text}
        </pre>
        <button type="button" onClick={copy}>
          {isCopied ? 'Copied' : 'Copy'}
        </button>
      </div>
    </>
  );
}

function Settings({ run: { row, settings, summary } }: { readonly run: RunDetail }) {
  const [isAll, setAll] = useState(false);
  const names = isAll ? Object.keys(settings) : Object.keys(row.settings);
  return (
    <>
      <h2>Settings</h2>
      <label class="check">
        <input type="checkbox" checked={isAll} onChange={({ currentTarget }) => setAll(currentTarget.checked)} />
        also those that are the default
      </label>
      {names.length === 0 ? <p class="muted">All are the defaults.</p> : null}
      <dl class="settings">
        {names.map((name) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{settings[name]}</dd>
          </div>
        ))}
      </dl>
      {summary ? (
        <p class="muted">
          {[
            ...summary.phases.map(({ phase, seconds, device }) => `${phase} ${duration(seconds)} on ${device.name}`),
            ...imagesOf(summary.inputs.data),
          ].join(' · ')}
        </p>
      ) : null}
    </>
  );
}

const imagesOf = ({ trainImages, testImages }: { readonly trainImages: number; readonly testImages: number }) =>
  trainImages > 0 ? [`${significant(trainImages, 8)} training and ${significant(testImages, 8)} test images`] : [];

function Files({ run: { row, files }, source }: { readonly run: RunDetail; readonly source: Source }) {
  const prefix = row.name === '.' ? '' : `${row.name}/`;
  return (
    <>
      <h2>Files</h2>
      <ul class="files">
        {files.map(({ path, bytes }) => {
          const address = source.file(path);
          const text = path.slice(prefix.length);
          return (
            <li key={path}>
              {address === undefined ? (
                text
              ) : (
                <a href={address} target="_blank" rel="noopener">
                  {text}
                </a>
              )}{' '}
              <span class="muted">{formatBytes(bytes)}</span>
            </li>
          );
        })}
      </ul>
    </>
  );
}
