// The list of runs.

import { useAnswer } from '../answer.ts';
import type { ViewProps } from '../app.tsx';
import { hashOf } from '../router.ts';

export function RunsView({ source }: ViewProps) {
  const { value, error } = useAnswer(source, 'runs', {}, (event) => event.kind === 'run' || event.kind === 'run-gone');
  if (error !== undefined) return <p role="alert">{error}</p>;
  if (!value) return <p role="status">Loading…</p>;
  return (
    <ul>
      {value.runs.map(({ name, state }) => (
        <li key={name}>
          <a href={hashOf({ view: 'run', name })}>{name}</a> {state}
        </li>
      ))}
    </ul>
  );
}
