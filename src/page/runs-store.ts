// Runs and their epochs as the page has them: asked for once, then kept up to date by events. Changes that come in one
// frame are shown together, so that a thousand runs which report at once cost one drawing.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Epoch, RunList, RunRow, ServerEvent } from '../serve/api.ts';
import { showing } from './save-copy.ts';
import type { Source } from './source.ts';

/** A function that asks for one new drawing of the component, however often it is called in a frame. */
function useFrame(): readonly [version: number, changed: () => void] {
  const [version, setVersion] = useState(0);
  const due = useRef(0);
  useEffect(() => () => cancelAnimationFrame(due.current), []);
  const changed = useMemo(
    () => () => {
      due.current ||= requestAnimationFrame(() => {
        due.current = 0;
        setVersion((before) => before + 1);
      });
    },
    [],
  );
  return [version, changed];
}

/** Calls `begin` at first, and whenever the connection was lost; `follow` with every other event. */
function useEvents(source: Source, begin: () => void, follow: (event: ServerEvent) => void): void {
  const handlers = useRef({ begin, follow });
  handlers.current = { begin, follow };
  useEffect(() => {
    handlers.current.begin();
    return source.listen((event) => {
      if (event.kind === 'hello') handlers.current.begin();
      else handlers.current.follow(event);
    });
  }, [source]);
}

export interface Runs {
  readonly defaults: RunList['defaults'];
  readonly rows: readonly RunRow[];
}

export function useRuns(source: Source): { readonly runs: Runs | undefined; readonly error: string | undefined } {
  const [error, setError] = useState<string>();
  const [version, changed] = useFrame();
  const known = useRef<{ defaults: RunList['defaults']; rows: Map<string, RunRow> } | undefined>(undefined);
  const begin = () => {
    source.get('runs').then(
      ({ defaults, runs }) => {
        known.current = { defaults, rows: new Map(runs.map((row) => [row.name, row])) };
        setError(undefined);
        changed();
      },
      ({ message }: Error) => setError(message),
    );
  };
  // A copy of the view needs them.
  useEffect(() => showing('runs', {}), []);
  useEvents(source, begin, (event) => {
    if (event.kind === 'run') known.current?.rows.set(event.run.name, event.run);
    else if (event.kind === 'run-gone') known.current?.rows.delete(event.name);
    else return;
    changed();
  });
  // What is known changes with the version
  const runs = useMemo(
    () => known.current && { defaults: known.current.defaults, rows: [...known.current.rows.values()] },
    [version],
  );
  return { runs, error };
}

type EpochsEvent = Extract<ServerEvent, { kind: 'epochs' }>;

/** Requests that are on their way at once: a browser keeps six connections, and one is for events. */
const MOST_REQUESTS = 4;

export interface Epochs {
  /** By the names of runs, as far as they have come; those that are still awaited are not in it. */
  readonly known: ReadonlyMap<string, readonly Epoch[]>;
  /** Why there are none of a run. */
  readonly problems: ReadonlyMap<string, string>;
}

/** The epochs of some runs. */
export function useEpochs(source: Source, names: readonly string[]): Epochs {
  const [version, changed] = useFrame();
  const known = useRef(new Map<string, readonly Epoch[]>());
  const problems = useRef(new Map<string, string>());
  const waiting = useRef<string[]>([]);
  const asked = useRef(new Set<string>());
  /** Told before the answer was there. */
  const early = useRef(new Map<string, EpochsEvent[]>());
  const busy = useRef(0);
  const follow = (event: EpochsEvent) => {
    const { name, from } = event;
    const before = known.current.get(name);
    if (!before || waiting.current.includes(name)) {
      if (asked.current.has(name)) early.current.set(name, [...(early.current.get(name) ?? []), event]);
    } else if (from > before.length) ask(name);
    else {
      const epochs = event.epochs.map(({ theta: _, ...epoch }) => epoch);
      const end = from + epochs.length;
      // What an answer held already says nothing new.
      if (epochs.length > 0 && JSON.stringify(before[end - 1]) === JSON.stringify(epochs.at(-1))) return;
      known.current.set(name, [...before.slice(0, from), ...epochs]);
      changed();
    }
  };
  const work = () => {
    while (busy.current < MOST_REQUESTS && waiting.current.length > 0) {
      const name = waiting.current.shift()!;
      busy.current++;
      source
        .get('metrics', { name })
        .then(({ epochs }) => {
          known.current.set(name, epochs);
          problems.current.delete(name);
          const told = early.current.get(name) ?? [];
          early.current.delete(name);
          for (const event of told) follow(event);
          changed();
        })
        .catch(({ message }: Error) => {
          asked.current.delete(name);
          problems.current.set(name, message);
          changed();
        })
        .finally(() => {
          busy.current--;
          work();
        });
    }
  };
  const ask = (name: string) => {
    asked.current.add(name);
    if (!waiting.current.includes(name)) waiting.current.push(name);
  };
  const wanted = names.join('\n');
  // The names decide what is asked for
  useEffect(() => {
    for (const name of names) if (!asked.current.has(name)) ask(name);
    work();
  }, [source, wanted]);
  // The names decide what a copy of the view needs
  useEffect(() => {
    const shown = names.map((name) => showing('metrics', { name }));
    return () => {
      for (const end of shown) end();
    };
  }, [wanted]);
  useEvents(
    source,
    () => {
      for (const name of asked.current) ask(name);
      work();
    },
    (event) => {
      if (event.kind === 'epochs') follow(event);
      // It was not there when it was asked for, and is now.
      else if (event.kind === 'run' && names.includes(event.run.name) && !asked.current.has(event.run.name)) {
        ask(event.run.name);
      } else return;
      work();
    },
  );
  // What is known changes with the version
  return useMemo(() => {
    const ofNames = <T>(all: ReadonlyMap<string, T>) => new Map([...all].filter(([name]) => names.includes(name)));
    return { known: ofNames(known.current), problems: ofNames(problems.current) };
  }, [version, wanted]);
}
