// The rows of runs as a table of which only those in sight are in the document, so that thousands scroll as tens do.
// Every row has the same height. It is a table also to who hears it: rows say their place among all.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { RunRow } from '../serve/api.ts';
import { fixed, percent } from '../tensor/numbers.ts';
import { COLOURS } from './chart.tsx';
import { hashOf } from './router.ts';
import { columns, type Line, type Order, valueIn } from './rows.ts';
import type { Runs } from './runs-store.ts';

const ROW = 34;
/** Rows that are drawn above and below those in sight. */
const BEYOND = 8;

interface Head {
  readonly key: string;
  readonly label: string;
  readonly isNumber?: boolean;
  /** Left out where the table is narrow. */
  readonly isWide?: boolean;
}

const heads: readonly Head[] = [
  { key: 'name', label: 'Run' },
  { key: 'state', label: 'State' },
  { key: 'model', label: 'Model', isWide: true },
  { key: 'accuracy', label: 'Accuracy', isNumber: true },
  { key: 'power', label: 'Power', isNumber: true },
  { key: 'gates', label: 'Gates', isNumber: true, isWide: true },
];

const changedHead: Head = { key: 'changed', label: 'Changed', isWide: true };

export interface RunTableProps {
  readonly lines: readonly Line[];
  readonly defaults: Runs['defaults'];
  readonly order: Order;
  readonly setOrder: (order: Order) => void;
  /** Names that are drawn, with their colours. */
  readonly chosen: ReadonlyMap<string, number>;
  readonly choose: (names: readonly string[], isChosen: boolean) => void;
  readonly toggleGroup: (text: string) => void;
  /** A setting that has a column of its own. */
  readonly extra: string;
}

export function RunTable({ lines, defaults, order, setOrder, chosen, choose, toggleGroup, extra }: RunTableProps) {
  const body = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  useEffect(() => {
    const element = body.current!;
    const follow = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const resized = new ResizeObserver(follow);
    resized.observe(element);
    element.addEventListener('scroll', follow, { passive: true });
    return () => {
      resized.disconnect();
      element.removeEventListener('scroll', follow);
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / ROW) - BEYOND);
  const end = Math.min(lines.length, Math.ceil((view.top + view.height) / ROW) + BEYOND);
  const isOwn = extra === '' || Object.hasOwn(columns, extra);
  const shown = [...heads, ...(isOwn ? [] : [{ key: extra, label: extra }]), changedHead];
  return (
    <div class={isOwn ? 'runs' : 'runs with-extra'} role="table" aria-label="Runs" aria-rowcount={lines.length + 1}>
      <div role="row" aria-rowindex={1} class="run-line head">
        <span role="columnheader">
          <span class="unseen">Draw</span>
        </span>
        {shown.map((head) => (
          <ColumnHead key={head.key} head={head} order={order} setOrder={setOrder} />
        ))}
      </div>
      <div ref={body} role="rowgroup" class="run-body">
        <div role="presentation" style={{ height: `${lines.length * ROW}px`, position: 'relative' }}>
          <div role="presentation" style={{ position: 'absolute', top: `${first * ROW}px`, left: '0', right: '0' }}>
            {lines.slice(first, end).map((line, at) =>
              line.kind === 'group' ? (
                <div key={`group ${line.text}`} role="row" aria-rowindex={first + at + 2} class="run-line group">
                  <span role="cell">
                    <input
                      type="checkbox"
                      aria-label={`draw the ${line.rows.length} runs of ${line.text}`}
                      checked={line.rows.every(({ name }) => chosen.has(name))}
                      onChange={({ currentTarget }) =>
                        choose(
                          line.rows.map(({ name }) => name),
                          currentTarget.checked,
                        )
                      }
                    />
                  </span>
                  <span role="cell" class="whole">
                    <button
                      type="button"
                      class="plain"
                      aria-expanded={line.isOpen}
                      onClick={() => toggleGroup(line.text)}
                    >
                      {line.isOpen ? '▾' : '▸'} {line.text} <span class="muted">({line.rows.length})</span>
                    </button>
                  </span>
                </div>
              ) : (
                <RunLine
                  key={line.row.name}
                  row={line.row}
                  place={first + at + 2}
                  colour={chosen.get(line.row.name)}
                  choose={choose}
                  extra={isOwn ? undefined : String(valueIn(line.row, extra, defaults) ?? '–')}
                />
              ),
            )}
          </div>
        </div>
      </div>
    </div>
  );
}

function ColumnHead({ head, order, setOrder }: { head: Head; order: Order; setOrder: (order: Order) => void }) {
  const isOrder = order.key === head.key;
  const sign = isOrder ? (order.descending ? ' ↓' : ' ↑') : '';
  // Figures and dates are asked for from the top.
  const begins = head.isNumber === true || head.key === 'changed';
  return (
    <span
      role="columnheader"
      class={`${head.isNumber ? 'number' : ''} ${head.isWide ? 'wide' : ''}`}
      aria-sort={isOrder ? (order.descending ? 'descending' : 'ascending') : 'none'}
    >
      <button
        type="button"
        class="plain"
        onClick={() => setOrder({ key: head.key, descending: isOrder ? !order.descending : begins })}
      >
        {head.label}
        {sign}
      </button>
    </span>
  );
}

interface RunLineProps {
  readonly row: RunRow;
  readonly place: number;
  readonly colour: number | undefined;
  readonly choose: RunTableProps['choose'];
  readonly extra: string | undefined;
}

function RunLine({ row, place, colour, choose, extra }: RunLineProps) {
  const { name } = row;
  const accuracy = columns.accuracy(row);
  const power = columns.power(row);
  const gates = columns.gates(row);
  return (
    <div role="row" aria-rowindex={place} class="run-line">
      <span role="cell">
        <input
          type="checkbox"
          aria-label={`draw ${name}`}
          checked={colour !== undefined}
          onChange={({ currentTarget }) => choose([name], currentTarget.checked)}
        />
      </span>
      <span role="cell" class="clip">
        <span aria-hidden="true" class={colour === undefined ? 'swatch' : `swatch series-${(colour % COLOURS) + 1}`} />
        <a href={hashOf({ view: 'run', name })} title={name}>
          {name.slice(name.lastIndexOf('/') + 1)}
          {name.includes('/') ? <span class="muted"> {name.slice(0, name.lastIndexOf('/'))}</span> : null}
        </a>
      </span>
      <span role="cell" class={`clip state ${row.state}`} title={row.problem ?? row.state}>
        {stateText(row)}
      </span>
      <span role="cell" class="clip wide">
        {row.model}
      </span>
      <span role="cell" class="number">
        {accuracy === undefined ? '–' : percent(accuracy)}
      </span>
      <span role="cell" class="number">
        {power === undefined ? '–' : fixed(power, 3)}
      </span>
      <span role="cell" class="number wide">
        {gates === undefined ? '–' : fixed(gates, 3)}
      </span>
      {extra === undefined ? null : (
        <span role="cell" class="clip">
          {extra}
        </span>
      )}
      <span role="cell" class="clip wide muted">
        {shortTime(row.changed)}
      </span>
    </div>
  );
}

/** "explore 12/60", where it is; else its state. */
export function stateText({ state, progress, isShared }: RunRow): string {
  if (!progress) return isShared && state === 'done' ? 'shared' : state;
  return `${progress.phase} ${progress.epoch}/${progress.epochs}`;
}

export function shortTime(date: string): string {
  const time = new Date(date);
  if (Number.isNaN(time.getTime())) return '–';
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}`;
}
