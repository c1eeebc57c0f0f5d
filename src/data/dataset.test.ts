import { expect, test } from 'vitest';
import { Random } from '../tensor/random.ts';
import { RawHistogram } from './dataset.ts';

test.each([
  [1, 1],
  [1, 7],
  [3, 1],
  [3, 1025],
  [4, 40_003],
])('mean and deviation of %i channels in %i pixels are those of the values', (channels, pixels) => {
  const random = new Random(3, channels, pixels);
  const values = Uint8Array.from({ length: channels * pixels }, (_, at) =>
    at < channels ? 255 * (at % 2) : random.integer(100) + 50 * (at % channels),
  );
  const histogram = new RawHistogram(channels);
  const middle = channels * Math.floor(pixels / 3);
  for (const part of [values.subarray(0, middle), values.subarray(middle)]) histogram.add(part);
  const { mean, deviation } = histogram.normalisation(255);
  for (let channel = 0; channel < channels; channel++) {
    const own = values.filter((_, at) => at % channels === channel);
    const average = Array.from(own).reduce((sum, raw) => sum + raw, 0) / pixels;
    const variance = Array.from(own).reduce((sum, raw) => sum + (raw - average) ** 2, 0) / pixels;
    expect(mean[channel]).toBe(average / 255);
    expect(deviation[channel]).toBeCloseTo(variance > 0 ? Math.sqrt(variance) / 255 : 1, 12);
  }
});
