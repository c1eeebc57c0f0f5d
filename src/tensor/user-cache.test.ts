import { join } from 'node:path';
import { expect, test } from 'vitest';
import { userCacheFolder } from './user-cache.ts';

test('our caches stand where the user’s caches are', () => {
  expect(userCacheFolder('kernels', { XDG_CACHE_HOME: '/c' })).toBe(join('/c', 'tram', 'kernels'));
  expect(userCacheFolder('synthesis', {})).toMatch(/\.cache.tram.synthesis$/);
});
