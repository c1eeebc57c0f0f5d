// The frame of the page: the name of the folder, the way to each view, the switch of the theme, and the view that the
// address names. A view is a component of `ViewProps`; its title goes to the document and to the heading.

import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useAnswer } from './answer.ts';
import { shortName } from './multiplier/chooser.tsx';
import { hashOf, type Route, useRoute } from './router.ts';
import { saveCopy } from './save-copy.ts';
import type { Source } from './source.ts';
import { useTheme } from './theme.ts';
import { MultiplierView } from './views/multiplier.tsx';
import { NetworkView } from './views/network.tsx';
import { NewView } from './views/new.tsx';
import { RunView } from './views/run.tsx';
import { RunsView } from './views/runs.tsx';
import { SweepView } from './views/sweep.tsx';

export interface ViewProps {
  readonly source: Source;
  readonly route: Route;
}

interface View {
  readonly title: (route: Route) => string;
  readonly component: ComponentType<ViewProps>;
  /** Its place in the navigation; absent for views that are reached from others. */
  readonly label?: string;
}

export const views: Readonly<Record<string, View>> = {
  runs: { title: () => 'Runs', component: RunsView, label: 'Runs' },
  run: { title: ({ name }) => name, component: RunView },
  new: { title: () => 'New run', component: NewView, label: 'New run' },
  sweep: { title: ({ name }) => name || 'Sweeps', component: SweepView, label: 'Sweeps' },
  network: { title: ({ name }) => `Network of ${name}`, component: NetworkView },
  multiplier: {
    title: ({ name }) => (name === '' ? 'Multipliers' : shortName(name)),
    component: MultiplierView,
    label: 'Multipliers',
  },
};

export function App({ source }: { readonly source: Source }) {
  const route = useRoute();
  const folder = useAnswer(source, 'folder');
  const [theme, switchTheme] = useTheme();
  const view = views[route.view];
  const title = view?.title(route) ?? 'Not found';
  useEffect(() => {
    document.title = `${title} · TRAM`;
  }, [title]);
  const Shown = view?.component;
  return (
    <>
      <a class="skip" href={hashOf(route)} onClick={toContent}>
        Skip to the content
      </a>
      <header class="bar">
        <a class="brand" href={hashOf({ view: 'runs' })}>
          TRAM
        </a>
        <span class="folder muted">{folder.value?.name}</span>
        <nav aria-label="Views">
          {source.home !== undefined && <a href={source.home}>a copy of one view</a>}
          {(source.isLive ? Object.entries(views) : []).map(([name, { label }]) =>
            label === undefined || (name === 'new' && !folder.value?.control) ? null : (
              <a key={name} href={hashOf({ view: name })} aria-current={route.view === name ? 'page' : undefined}>
                {label}
              </a>
            ),
          )}
        </nav>
        {source.isLive && <SaveButton source={source} />}
        <button type="button" class="quiet" onClick={switchTheme}>
          {theme === 'dark' ? 'Light' : 'Dark'}
        </button>
      </header>
      <main id="content" tabIndex={-1}>
        <h1>{title}</h1>
        {Shown ? (
          <Shown key={`${route.view} ${route.name}`} source={source} route={route} />
        ) : (
          <p>There is no such view.</p>
        )}
      </main>
    </>
  );
}

/** By hand: what stands behind # is the view. */
function toContent(event: Event): void {
  event.preventDefault();
  document.getElementById('content')?.focus();
}

/** Saves the view as a document that needs no server; says why where that fails. */
function SaveButton({ source }: { readonly source: Source }) {
  const [problem, setProblem] = useState<string>();
  const save = () => {
    setProblem(undefined);
    saveCopy(source).catch((error: Error) => setProblem(error.message));
  };
  return (
    <>
      {problem !== undefined && (
        <span role="alert" class="problem">
          {problem}
        </span>
      )}
      <button type="button" class="quiet" onClick={save} title="This view as one file that needs no server">
        Save a copy
      </button>
    </>
  );
}
