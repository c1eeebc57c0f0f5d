// Which view the page shows, by the address behind `#`: `#/run/a/b?tab=theta` is the view `run` of the name `a/b` with
// the options behind `?`. Names are escaped one by one, so that any name of a folder can stand there.

import { useEffect, useState } from 'preact/hooks';

export interface Route {
  readonly view: string;
  /** Of the run, sweep or file; empty where the view has none. */
  readonly name: string;
  readonly query: Readonly<Record<string, string>>;
}

export function routeOf(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const [view = '', ...names] = path.split('/').map(unescaped);
  return { view: view || 'runs', name: names.join('/'), query: Object.fromEntries(new URLSearchParams(query)) };
}

export function hashOf({ view, name = '', query = {} }: Partial<Route>): string {
  const path = [view ?? 'runs', ...(name === '' ? [] : name.split('/'))].map(encodeURIComponent).join('/');
  const text = new URLSearchParams(query).toString();
  return `#/${path}${text === '' ? '' : `?${text}`}`;
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => routeOf(location.hash));
  useEffect(() => {
    const follow = () => setRoute(routeOf(location.hash));
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return route;
}
