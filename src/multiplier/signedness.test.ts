import { expect, test } from 'vitest';
import { signednessText } from './signedness.ts';

test('the other reading is hinted at where its error is at most a tenth of this one’s', () => {
  expect(signednessText(false, 10, 1)).toBe(
    'read as unsigned the mean error is 10, with --signed it would be 1: is it a signed multiplier?',
  );
  expect(signednessText(true, 10, 1)).toMatch(/is --signed meant\?$/);
  expect(signednessText(false, 10, 1.01)).toBeNull();
});
