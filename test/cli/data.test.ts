// `tram data`: what it tells of a folder of pictures is what is there, in words and as JSON; its sheet shows the
// pixels.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, expect, test } from 'vitest';
import { tram } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-data-command-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('tells images, classes and bad files, and draws a sheet', async () => {
  for (const [c, name] of ['cat', 'dog'].entries()) {
    mkdirSync(join(folder, 'photos', name), { recursive: true });
    for (let k = 0; k < 5 + c; k++) {
      const background = { r: 50 + 100 * c + k, g: 20, b: 30 };
      await sharp({ create: { width: 9, height: 6, channels: 3, background } }).toFile(
        join(folder, 'photos', name, `${k}.png`),
      );
    }
  }
  const photos = join(folder, 'photos');
  const sheet = join(folder, 'sheet.svg');
  const good = await tram('data', photos, '--sheet', sheet, '--each', '2');
  expect([good.code, good.err]).toEqual([0, '']);
  expect(good.out).toContain('images: 11 images 6×9×3, 2 classes (5 to 6 each); 8 train, 3 test');
  expect(good.out).toMatch(/cat +4 +1\n +dog +4 +2\n/);
  expect(good.out).toContain('values: 20 to 155, 255 means 1');
  const picture = readFileSync(sheet, 'utf8');
  const shown = [...picture.matchAll(/data:image\/png;base64,([^"]+)/g)].map(([, data]) =>
    Buffer.from(data!, 'base64'),
  );
  expect(shown).toHaveLength(4);
  const { data, info } = await sharp(shown[2]).raw().toBuffer({ resolveWithObject: true });
  expect([info.width, info.height, info.channels, data[1], data[2]]).toEqual([9, 6, 3, 20, 30]);
  expect(data[0]).toBeGreaterThanOrEqual(150);
  writeFileSync(join(photos, 'cat/3.png'), 'no picture');
  const bad = await tram('data', photos, '--json');
  expect(bad.code).toBe(1);
  const report = JSON.parse(bad.out);
  expect(report.badImages).toEqual([expect.stringMatching(/^(train|test)\/cat\/3.png$/)]);
  expect(report.classes.map((one: { train: number; test: number }) => one.train + one.test)).toEqual([4, 6]);
  expect(report.badReasons).toEqual([expect.stringContaining('unsupported image format')]);
  expect((await tram('data', photos)).out).toMatch(/^cannot be decoded: 1\n {2}(train|test)\/cat\/3.png: .+\n/m);
  const kept = ['data', photos, '--image-cache', join(folder, 'kept'), '--json'];
  expect(JSON.parse((await tram(...kept)).out).badReasons).toEqual(report.badReasons);
  expect(JSON.parse((await tram(...kept)).out).badReasons).toEqual([
    expect.stringContaining('when the cache was made'),
  ]);
  expect((await tram('data', photos, '--classes-of', 'dog,cow')).err).toContain("'cow'");
  const missing = await tram('data', join(folder, 'photo'));
  expect([missing.code, missing.err]).toEqual([2, expect.stringContaining(`did you mean '${photos}'?`)]);
  expect((await tram('data', 'digits', '--json')).code).toBe(0);
});
