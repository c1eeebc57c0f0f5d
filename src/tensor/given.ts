// Exact optional properties: a property that may be left out may not be there as undefined. `given` makes the one from
// the other, so that what a caller may or may not have said is handed on in one line.

/** The object without its properties that are undefined; the others keep their order. */
export function given<T extends object>(all: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
