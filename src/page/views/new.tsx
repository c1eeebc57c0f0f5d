// The form that starts a run: every setting of `tram run` by its group, and the command that says the same. Only what
// is filled in is said; the rest are the defaults, which stand as a hint in each field.

import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Field, Planned, RunForm } from '../../serve/api.ts';
import { useAnswer } from '../answer.ts';
import type { ViewProps } from '../app.tsx';
import { useKept } from '../kept.ts';
import { hashOf } from '../router.ts';
import { Command } from './run.tsx';

/** The fields that most runs are begun with; the others are behind their group's heading. */
const first = ['data', 'model', 'recipe', 'seed', 'bits', 'lambda', 'power', 'multiplier'];
/** Milliseconds after the last key before the command is asked for. */
const PAUSE = 250;

export function NewView({ source }: ViewProps) {
  const folder = useAnswer(source, 'folder');
  const { value: form, error } = useAnswer(source, 'form');
  const [name, setName] = useKept('new name', 'mine');
  const [texts, setTexts] = useKept<Readonly<Record<string, string>>>('new texts', {});
  const [planned, setPlanned] = useState<Planned>();
  const [problem, setProblem] = useState<string>();
  const secret = folder.value?.secret;
  const { order } = source;
  const filled = useMemo(() => Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== '')), [texts]);
  useEffect(() => {
    if (!order || secret === undefined) return;
    let isOver = false;
    const timer = setTimeout(() => {
      order('command', { name, fields: filled }, secret).then(
        (found) => {
          if (isOver) return;
          setPlanned(found);
          setProblem(undefined);
        },
        ({ message }: Error) => !isOver && setProblem(message),
      );
    }, PAUSE);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [order, secret, name, filled]);
  const groups = useMemo(() => groupsOf(form?.fields ?? []), [form]);
  if (!order || (folder.value && secret === undefined)) {
    return <p>This page only shows. To start runs from it, start the server with tram serve --control.</p>;
  }
  if (error !== undefined) return <p role="alert">{error}</p>;
  if (!form || secret === undefined) return <p role="status">Loading…</p>;
  const start = (event: Event) => {
    event.preventDefault();
    order('start', { name, fields: filled }, secret).then(
      () => {
        location.hash = hashOf({ view: 'run', name });
      },
      ({ message }: Error) => setProblem(message),
    );
  };
  const problems = planned?.problems ?? {};
  const input = (field: Field) => (
    <FieldInput
      key={field.name}
      field={field}
      form={form}
      text={texts[field.name] ?? ''}
      problem={problems[field.name]}
      change={(text) => setTexts({ ...texts, [field.name]: text })}
    />
  );
  const common = first.flatMap((one) => form.fields.find((field) => field.name === one) ?? []);
  return (
    <form class="new" onSubmit={start}>
      <div class="fields">
        <div class="field">
          <label for="run-name">Name of the run</label>
          <input
            id="run-name"
            value={name}
            required
            onInput={({ currentTarget }) => setName(currentTarget.value)}
            aria-describedby="name-problem"
          />
          <small id="name-problem" class={problems.name ? 'bad' : 'muted'}>
            {problems.name ?? 'its folder; / makes folders in folders'}
          </small>
        </div>
        {common.map(input)}
      </div>
      {[...groups].map(([group, fields]) => {
        const rest = fields.filter((field) => !first.includes(field.name));
        const said = rest.filter((field) => texts[field.name]).length;
        return rest.length === 0 ? null : (
          <details key={group}>
            <summary>
              {group} <span class="muted">{said > 0 ? `${said} of ${rest.length} said` : rest.length}</span>
            </summary>
            <div class="fields">{rest.map(input)}</div>
          </details>
        );
      })}
      {problems.together ? <p role="alert">{problems.together}</p> : null}
      {problem === undefined ? null : <p role="alert">{problem}</p>}
      {planned ? <Command text={planned.command} label="The same as a command" /> : null}
      <p>
        <button type="submit" class="primary" disabled={!planned || Object.keys(problems).length > 0}>
          Start the run
        </button>
      </p>
    </form>
  );
}

function groupsOf(fields: readonly Field[]): ReadonlyMap<string, readonly Field[]> {
  const groups = new Map<string, Field[]>();
  for (const field of fields) groups.set(field.group, [...(groups.get(field.group) ?? []), field]);
  return groups;
}

interface FieldInputProps {
  readonly field: Field;
  readonly form: RunForm;
  readonly text: string;
  readonly problem: string | undefined;
  readonly change: (text: string) => void;
}

function FieldInput({ field, form, text, problem, change }: FieldInputProps) {
  const { name, help, choices, usual, expected, value } = field;
  const named = { data: form.choices.data, model: form.choices.models }[name];
  const options = value === undefined ? choices : ['true'];
  const note = `note-${name}`;
  const id = `field-${name}`;
  const shared = {
    id,
    value: text,
    'aria-describedby': note,
    'aria-invalid': problem !== undefined,
  };
  return (
    <div class="field">
      <label for={id}>{name}</label>
      {options ? (
        <select {...shared} onChange={({ currentTarget }) => change(currentTarget.value)}>
          <option value="">{usual === undefined ? 'as usual' : `as usual: ${usual}`}</option>
          {options.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      ) : (
        <input
          {...shared}
          placeholder={usual ?? ''}
          list={named ? `list-${name}` : undefined}
          onInput={({ currentTarget }) => change(currentTarget.value)}
        />
      )}
      {named ? (
        <datalist id={`list-${name}`}>
          {named.map((one) => (
            <option key={one.name} value={one.name}>
              {one.summary}
            </option>
          ))}
        </datalist>
      ) : null}
      <small id={note} class={problem === undefined ? 'muted' : 'bad'}>
        {problem ?? (options ? help : `${help}; ${expected}`)}
      </small>
    </div>
  );
}
