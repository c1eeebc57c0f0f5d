// The list of runs beside the curves of those that are chosen: filtered by words and by any setting, sorted by a click
// on a column, grouped by any setting that differs between runs.

import { useMemo } from 'preact/hooks';
import type { ViewProps } from '../app.tsx';
import { Curves, type PhaseChoice, phaseChoices } from '../curves.tsx';
import { useKept } from '../kept.ts';
import { filterOf, grouped, type Order, sorted, valueIn, varying } from '../rows.ts';
import { RunTable } from '../run-table.tsx';
import { useEpochs, useRuns } from '../runs-store.ts';

/** Runs that are drawn before the reader has chosen any. */
const AT_FIRST = 6;
const fixedGroups = ['data', 'model', 'state', 'sweep'];

export function RunsView({ source }: ViewProps) {
  const { runs, error } = useRuns(source);
  const [text, setText] = useKept('runs filter', '');
  const [order, setOrder] = useKept<Order>('runs order', { key: 'changed', descending: true });
  const [group, setGroup] = useKept('runs group', '');
  const [closed, setClosed] = useKept<readonly string[]>('runs closed', []);
  const [phase, setPhase] = useKept<PhaseChoice>('runs phase', 'all');
  const [chosen, setChosen] = useKept<readonly string[] | undefined>('runs chosen', undefined);

  const settings = useMemo(() => (runs ? varying(runs) : []), [runs]);
  const shown = useMemo(() => {
    if (!runs) return [];
    return sorted(runs.rows.filter(filterOf(text, runs.defaults)), order, runs.defaults);
  }, [runs, text, order]);
  const lines = useMemo(() => (runs ? grouped(shown, group, runs.defaults, closed) : []), [runs, shown, group, closed]);
  const names = useMemo(() => new Set(runs?.rows.map(({ name }) => name)), [runs]);
  const wanted =
    chosen ?? shown.flatMap(({ name }) => (source.holds('metrics', { name }) ? [name] : [])).slice(0, AT_FIRST);
  const drawnNames = wanted.filter((name) => names.has(name));
  const drawnKey = drawnNames.join('\n');
  // The names are what counts
  const drawn = useMemo(() => {
    if (!runs || group === '') return drawnNames.map((name, colour) => ({ name, colour }));
    // One colour for a group, which its runs then are seen as.
    const rows = new Map(runs.rows.map((row) => [row.name, row]));
    const texts = drawnNames.map((name) => String(valueIn(rows.get(name)!, group, runs.defaults)));
    const colours = [...new Set(texts)].sort();
    return drawnNames.map((name, at) => ({ name, colour: colours.indexOf(texts[at]!) }));
  }, [drawnKey, group, group === '' ? 0 : runs]);
  const epochs = useEpochs(source, drawnNames);

  if (error !== undefined && !runs) return <p role="alert">{error}</p>;
  if (!runs) return <p role="status">Loading…</p>;
  if (runs.rows.length === 0) {
    return <p>There is no run in this folder yet; one that starts appears here by itself.</p>;
  }
  const choose = (some: readonly string[], isChosen: boolean) => {
    const rest = wanted.filter((name) => !some.includes(name));
    setChosen(isChosen ? [...rest, ...some] : rest);
  };
  const running = runs.rows.filter(({ state }) => state === 'running').length;
  const all = `${runs.rows.length} ${runs.rows.length === 1 ? 'run' : 'runs'}`;
  const count = shown.length === runs.rows.length ? all : `${shown.length} of ${all}`;
  return (
    <>
      <form class="tools" aria-label="Which runs" onSubmit={(event) => event.preventDefault()}>
        <label class="grow">
          Filter
          <input
            type="search"
            value={text}
            list="settings"
            placeholder="resnet8 lambda=0.3 accuracy>0.9 -damaged"
            onInput={({ currentTarget }) => setText(currentTarget.value)}
          />
        </label>
        <datalist id="settings">
          {settings.map((name) => (
            <option key={name} value={`${name}=`} />
          ))}
        </datalist>
        <label>
          Group by
          <select value={group} onChange={({ currentTarget }) => setGroup(currentTarget.value)}>
            <option value="">nothing</option>
            {[...fixedGroups, ...settings.filter((name) => !fixedGroups.includes(name))].map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label>
          Epochs of
          <select value={phase} onChange={({ currentTarget }) => setPhase(currentTarget.value as PhaseChoice)}>
            {phaseChoices.map((name) => (
              <option key={name} value={name}>
                {name === 'all' ? 'all phases' : name}
              </option>
            ))}
          </select>
        </label>
        <button type="button" onClick={() => setChosen(shown.map(({ name }) => name))}>
          Draw all {shown.length}
        </button>
        <button type="button" onClick={() => setChosen([])}>
          Draw none
        </button>
      </form>
      <p class="muted" role="status">
        {count}
        {running > 0 ? `, ${running} running` : ''}, {drawnNames.length} drawn
      </p>
      <div class="beside">
        <RunTable
          lines={lines}
          defaults={runs.defaults}
          order={order}
          setOrder={setOrder}
          chosen={new Map(drawn.map(({ name, colour }) => [name, colour]))}
          choose={choose}
          toggleGroup={(one) => {
            setClosed(closed.includes(one) ? closed.filter((other) => other !== one) : [...closed, one]);
          }}
          extra={group}
        />
        <section aria-label="Curves">
          {drawn.length === 0 ? (
            <p class="muted">Choose runs in the list to draw their curves.</p>
          ) : (
            <Curves runs={drawn} epochs={epochs} phase={phase} />
          )}
        </section>
      </div>
    </>
  );
}
