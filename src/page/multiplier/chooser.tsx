// Which multiplier is shown, and beside which other one: one of the folder, a generator, or a file that is dropped
// anywhere on the view or chosen from the disk.

import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useAnswer } from '../answer.ts';
import { hashOf } from '../router.ts';
import type { Source } from '../source.ts';
import { plainName, readDropped } from './dropped.ts';

export interface Choice {
  readonly of: string;
  readonly beside: string | undefined;
}

export const hashOfChoice = ({ of, beside }: Choice): string =>
  hashOf({ view: 'multiplier', name: of, query: beside === undefined ? {} : { beside } });

interface ChooserProps {
  readonly source: Source;
  readonly chosen: Choice;
}

export function Chooser({ source, chosen }: ChooserProps) {
  const known = useAnswer(source, 'multipliers').value ?? [];
  const id = useId();
  const [problem, setProblem] = useState<string>();
  const [isSigned, setSigned] = useState(false);
  const [reading, setReading] = useState<string>();
  const input = useRef<HTMLInputElement>(null);
  const go = (choice: Choice) => {
    location.hash = hashOfChoice(choice);
  };
  const take = async (files: Iterable<File>) => {
    setProblem(undefined);
    const read: string[] = [];
    for (const file of files) {
      setReading(file.name);
      try {
        read.push(await readDropped(file, isSigned));
      } catch (error) {
        setProblem((error as Error).message);
      }
    }
    setReading(undefined);
    const [first, second] = read;
    if (first === undefined) return;
    // What is shown keeps its place; a file beside nothing is shown alone.
    const next = second !== undefined ? { of: first, beside: second } : beside(chosen, first);
    go(next);
    if (next.of === chosen.of && next.beside === chosen.beside) dispatchEvent(new HashChangeEvent('hashchange'));
  };
  const isOver = useDrop((files) => void take(files));
  const submit = (event: Event) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const [of, other] = ['of', 'beside'].map((field) => String(data.get(field) ?? '').trim());
    if (of) go({ of, beside: other || undefined });
  };
  return (
    <section class={`chooser${isOver ? ' over' : ''}`} aria-label="Multiplier">
      <form onSubmit={submit} key={`${chosen.of} ${chosen.beside}`}>
        <label>
          Multiplier
          <input name="of" list={id} defaultValue={chosen.of} placeholder="dadda:8x8" spellcheck={false} />
        </label>
        <label>
          beside
          <input name="beside" list={id} defaultValue={chosen.beside ?? ''} placeholder="none" spellcheck={false} />
        </label>
        <datalist id={id}>
          {known.map(({ of, title }) => (
            <option key={of} value={of}>
              {title}
            </option>
          ))}
        </datalist>
        <button type="submit" class="primary">
          Show
        </button>
      </form>
      <p class="dropping">
        Drop a <code>.v</code>, <code>.blif</code> or table file here, or{' '}
        <button type="button" onClick={() => input.current?.click()}>
          choose a file
        </button>
        <input
          ref={input}
          type="file"
          multiple
          hidden
          aria-label="File of a multiplier"
          onChange={({ currentTarget }) => {
            void take([...(currentTarget.files ?? [])]);
            currentTarget.value = '';
          }}
        />{' '}
        <label class="check">
          <input type="checkbox" checked={isSigned} onChange={() => setSigned(!isSigned)} /> two’s complement
        </label>{' '}
        <span class="muted">It is read by this server and kept nowhere.</span>
      </p>
      <p role="status">{reading === undefined ? '' : `Reading ${reading} …`}</p>
      {problem !== undefined && (
        <p role="alert" class="problem">
          {problem}
        </p>
      )}
    </section>
  );
}

/** With nothing shown it is shown; with one beside another it takes the place of the other. */
function beside({ of }: Choice, file: string): Choice {
  return of === '' || of === file ? { of: file, beside: undefined } : { of, beside: file };
}

/** Whether files are held over the page; calls `onDrop` with those that are let go there. */
function useDrop(onDrop: (files: File[]) => void): boolean {
  const [isOver, setOver] = useState(false);
  const drop = useRef(onDrop);
  drop.current = onDrop;
  // Before it is to be seen: a page that says that files can be dropped on it takes them.
  useLayoutEffect(() => {
    const over = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const release = (event: DragEvent) => {
      setOver(false);
      if (!event.dataTransfer || event.dataTransfer.files.length === 0) return;
      event.preventDefault();
      drop.current([...event.dataTransfer.files]);
    };
    addEventListener('dragover', over);
    addEventListener('dragleave', leave);
    addEventListener('drop', release);
    return () => {
      removeEventListener('dragover', over);
      removeEventListener('dragleave', leave);
      removeEventListener('drop', release);
    };
  }, []);
  return isOver;
}

/** The last part of a path, or what else it was named. */
export const shortName = (of: string): string => plainName(of).split('/').at(-1)!;
