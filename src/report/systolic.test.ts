import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { svgSize } from './svg.ts';
import { systolicPicture } from './systolic.ts';

it('draws every element of a small array, and four by four of a large one', () => {
  const cells = (svg: string) => svg.match(/class="cell"/g)!.length;
  expect(cells(systolicPicture(2, 3))).toBe(6);
  expect(cells(systolicPicture(64, 3))).toBe(12);
  expect(systolicPicture(64, 3)).toContain('4×3 of 64×3 elements drawn');
  expect(svgSize(systolicPicture(1, 1)).height).toBeLessThan(svgSize(systolicPicture(8, 8)).height);
});

it('is the picture of the documentation', () => {
  const drawn = readFileSync(new URL('../../docs/images/systolic-array.svg', import.meta.url), 'utf8');
  expect(drawn).toBe(`${systolicPicture(8, 8)}\n`);
});
