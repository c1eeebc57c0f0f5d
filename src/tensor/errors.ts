// The one error class for a user's mistake. Everything else that is thrown is a bug of ours and says `internal:`.
// A UserError's message is one line: what failed, with which value, what was expected, what to do. The CLI prints it without a
// stack trace and exits with code 2.

export class UserError extends Error {
  override readonly name = 'UserError';
}

/** Throws a bug report of our own when an invariant does not hold. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal: ${message}`);
}
