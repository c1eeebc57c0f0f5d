// The views of the live page by their addresses: `run/a/b?tab=theta` is the view `run` of the name `a/b` with options.
// Names are escaped one by one, so that any name of a folder can stand there. Browser and server read them alike.

export interface Route {
  readonly view: string;
  /** Of the run, sweep or file; empty where the view has none. */
  readonly name: string;
  readonly query: Readonly<Record<string, string>>;
}

/** With or without `#/` before it. */
export function routeOf(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#?\/?/, '').split(/\?(.*)/s);
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
