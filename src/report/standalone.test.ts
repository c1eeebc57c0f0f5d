import { expect, test } from 'vitest';
import { hashOf, routeOf } from './route.ts';
import { keyOf, standalone } from './standalone.ts';

const html = `<!doctype html><html><head><meta charset="utf-8" /><link rel="stylesheet" href="main.css" /></head>
<body><script type="module" src="main.js"></script></body></html>`;

test('what is stored comes back, whatever it says, and ends no element', () => {
  const hostile = { name: '</script><script>alert(1)</script><!-- $& $1 \u2028' };
  const stored = { view: '#/runs', answers: { 'run?name=a': hostile }, files: {}, kept: { 'runs filter': '<a>' } };
  const text = standalone({ html, script: 'const a = "</script>"; "$&"', style: 'p{content:"</style>"}' }, stored);
  expect(text.match(/<\/script>/g)).toHaveLength(2);
  expect(text.match(/<\/style>/g)).toHaveLength(1);
  expect(text).not.toContain('<!--');
  const json = /id="stored">(.*?)<\/script>/s.exec(text)![1]!;
  expect(JSON.parse(json)).toEqual(stored);
  expect(text).toContain('const a = "\\x3c/script>"; "$&"');
});

test('nothing is left that would be fetched', () => {
  const text = standalone({ html, script: '', style: '' }, { view: '#/runs', answers: {}, files: {}, kept: {} });
  expect(text).not.toMatch(/ (src|href)=/);
  expect(text).toContain("default-src 'none'");
});

test('a view and its address', () => {
  for (const route of [
    { view: 'run', name: 'a b/ä?#/c%', query: { tab: 'θ&x' } },
    { view: 'multiplier', name: 'truncated:8x8:columns=6', query: {} },
    { view: 'runs', name: '', query: {} },
  ]) {
    // `/` is what separates names.
    expect(routeOf(hashOf(route))).toEqual(route);
    expect(routeOf(hashOf(route).slice(2))).toEqual(route);
  }
  expect(routeOf('multiplier/dadda:8x8?beside=booth:8x8')).toEqual({
    ...{ view: 'multiplier', name: 'dadda:8x8', query: { beside: 'booth:8x8' } },
  });
  expect(keyOf('a', { z: '1', b: 'x y' })).toBe('a?b=x+y&z=1');
});
