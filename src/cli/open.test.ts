import { expect, test } from 'vitest';
import { openFile } from './open.ts';

test('a program that is missing or fails is told, one that works is not', async () => {
  const path = process.env.PATH;
  try {
    process.env.PATH = '/nowhere';
    expect(await openFile('report.html', 'linux')).toBe('xdg-open is not installed');
    expect(await openFile('report.html', 'darwin')).toBe('open is not installed');
  } finally {
    process.env.PATH = path;
  }
});
