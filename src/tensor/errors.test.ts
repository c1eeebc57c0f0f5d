import { describe, expect, test } from 'vitest';
import { oneLine, quoted, UserError, visible } from './errors.ts';

describe('the message of a UserError', () => {
  test('is one line, whatever it quotes', () => {
    expect(new UserError('a\n  b\r\n\n c\u2028d ').message).toBe('a b c d');
    expect(new UserError('tab\tstop').message).toBe('tab stop');
  });

  test('holds nothing that a terminal would obey', () => {
    expect(new UserError('no \u001b]0;pwned\u0007, \u009b2J, \u202eback').message).toBe(
      'no \\u001b]0;pwned\\u0007, \\u009b2J, \\u202eback',
    );
    expect(visible('Größe ≡ θ\n')).toBe('Größe ≡ θ\n');
  });

  test('is short, with its beginning and its end', () => {
    const { message } = new UserError(`the name ${'x'.repeat(1e6)} is too long; choose another`);
    expect(message.length).toBeLessThan(1400);
    expect(message).toMatch(/^the name x+ … x+ is too long; choose another$/);
    expect(quoted('n'.repeat(1000))).toBe(`'${'n'.repeat(60)}…'`);
  });

  test('takes time in proportion to the text', () => {
    const begun = process.cpuUsage();
    oneLine(' '.repeat(4e6));
    oneLine(`a${' \n'.repeat(2e6)}b`);
    expect(process.cpuUsage(begun).user).toBeLessThan(1e6);
  });
});
