import { expect, test } from 'vitest';
import { tram } from '../../test/cli/program.ts';
import { commandEntries } from './program.ts';
import { findTopic, topics } from './topics.ts';

test('every topic is found by its name and by each of its other names, and none is hidden by a command', () => {
  const all = topics();
  const names = all.flatMap(({ name, aliases }) => [name, ...aliases]).map((name) => name.toLowerCase());
  expect(all.filter(({ kind }) => kind === 'term').length).toBeGreaterThan(25);
  for (const topic of all) {
    expect(findTopic(topic.name, all)).toBe(topic);
    expect(topic.text.length, topic.name).toBeGreaterThan(20);
    expect(commandEntries.map(({ name }) => name)).not.toContain(topic.name);
  }
  const twice = names.filter(
    (name, at) => names.indexOf(name) !== at && !all.some((one) => one.name.toLowerCase() === name),
  );
  expect(twice).toEqual([]);
});

test.each([
  ['θ', /θ {2}\(theta, .*\)\n\nWhat share of a part/],
  ['theta', /^θ/],
  ['NMED', /MED divided by 2\^\(Bw \+ Bx\)/],
  ['nmed', /^NMED/],
  ['unit gate', /a full adder 7/],
  ['zero-point', /^zero point/],
  ['STE', /as if it were exact/],
  ['metrics.jsonl', /one JSON|epoch \(from 1\)/],
  ['.npy', /C order, shape \[2\^Bw, 2\^Bx\]/],
  ['manifest.json', /what was asked for|given/],
  ['checkpoints', /LAYER\.weight_scale/],
  ['formats', /theta\.json/],
  ['topics', /Terms:\n {2}θ, λ, P,[\s\S]*File formats:\n {2}formats, manifest\.json/],
])('tram help %s', async (topic, text) => {
  const { code, out, err } = await tram('help', ...topic.split(' '));
  expect([code, err]).toEqual([0, '']);
  expect(out).toMatch(text);
  expect(out).not.toMatch(/`|\*\*|\]\(/);
});

test('tram help COMMAND stays the help of the command, and an unknown topic names the nearest', async () => {
  expect((await tram('help', 'map')).out).toContain('Usage: tram map');
  expect((await tram('help', 'NMEDD')).err).toContain("did you mean 'NMED'?");
});
