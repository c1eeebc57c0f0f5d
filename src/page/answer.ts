// An answer of the source as the state of a component: asked for once, and again when an event says that it is old.

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { Address, Answers, Query, ServerEvent } from '../serve/api.ts';
import { showing } from './save-copy.ts';
import { keyOf, type Source } from './source.ts';

export interface Answered<T> {
  /** Undefined until it is there. */
  readonly value: T | undefined;
  readonly error: string | undefined;
  readonly askAgain: () => void;
}

/** `isOld`: whether an event makes another answer; a connection that was lost always does. */
export function useAnswer<A extends Address>(
  source: Source,
  address: A,
  query: Query = {},
  isOld?: (event: ServerEvent) => boolean,
): Answered<Answers[A]> {
  const key = keyOf(address, query);
  const [state, setState] = useState<{ key: string; value?: Answers[A]; error?: string }>({ key });
  const asked = useRef(0);
  const ask = useCallback(() => {
    const number = ++asked.current;
    const keep = (found: { value?: Answers[A]; error?: string }) => {
      // An answer that comes late does not take the place of a later one.
      if (number === asked.current) setState({ key, ...found });
    };
    source.get(address, queryIn(key)).then(
      (value) => keep({ value }),
      (error: Error) => keep({ error: error.message }),
    );
  }, [source, address, key]);
  useEffect(() => showing(address, queryIn(key)), [address, key]);
  const test = useRef(isOld);
  test.current = isOld;
  useEffect(() => {
    ask();
    return source.listen((event) => {
      if (event.kind === 'hello' || test.current?.(event)) ask();
    });
  }, [source, ask]);
  const isCurrent = state.key === key;
  return { value: isCurrent ? state.value : undefined, error: isCurrent ? state.error : undefined, askAgain: ask };
}

const queryIn = (key: string): Query => Object.fromEntries(new URLSearchParams(key.split(/\?(.*)/s)[1] ?? ''));
