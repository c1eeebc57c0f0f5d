// A view of the live page as one document to be copied: script, style and data inside, and a policy that lets nothing
// be fetched, so that it is opened from a disk, a mail or an archive as well. Browser and server make it alike.
// Invariant: the data are a script element that no text in them can end.

/** The answers that a view shows, by `address?query`; files as data: addresses by their paths. */
export interface Stored {
  /** What is shown first: `#/multiplier/dadda%3A8x8`. */
  readonly view: string;
  readonly answers: Readonly<Record<string, unknown>>;
  readonly files: Readonly<Record<string, string>>;
  /** What the reader had chosen in the view (page/kept.ts). */
  readonly kept: Readonly<Record<string, unknown>>;
}

export interface PageParts {
  readonly html: string;
  readonly script: string;
  readonly style: string;
}

const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:";

/** The page of `parts` with `stored` in it. */
export function standalone({ html, script, style }: PageParts, stored: Stored): string {
  const policy = `<meta http-equiv="Content-Security-Policy" content="${POLICY}" />`;
  const insertions: readonly (readonly [place: RegExp, content: (found: string) => string])[] = [
    [/<meta charset="utf-8"[^>]*>/, (found) => found + policy],
    [/<link rel="stylesheet"[^>]*>/, () => `<style>${style.replaceAll('</', '<\\/')}</style>`],
    [
      /<script type="module"[^>]*><\/script>/,
      () => `${dataElement(stored)}<script type="module">${inline(script)}</script>`,
    ],
  ];
  return insertions.reduce((text, [place, content]) => text.replace(place, content), html);
}

/** An answer is kept under this: `metrics?name=a`. */
export function keyOf(address: string, query: Readonly<Record<string, string>> = {}): string {
  const text = new URLSearchParams(Object.entries(query).sort(([a], [b]) => (a < b ? -1 : 1))).toString();
  return text === '' ? address : `${address}?${text}`;
}

/** JSON in which no `<` is left, nor the two line ends that a script does not allow. */
function dataElement(stored: Stored): string {
  const escapes: Readonly<Record<string, string>> = { '<': '\\u003c', '\u2028': '\\u2028', '\u2029': '\\u2029' };
  const json = JSON.stringify(stored).replace(/[<\u2028\u2029]/g, (sign) => escapes[sign]!);
  return `<script type="application/json" id="stored">${json}</script>`;
}

/** A script in whose strings nothing ends the element or opens a comment. */
const inline = (script: string): string => script.replace(/<(?=\/script|!--)/gi, '\\x3c');
