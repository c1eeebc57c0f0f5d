// How an option's description carries its facts: "images per step [a whole number of at least 1; default: 64]". Written
// here for the help texts, and taken apart here for the command reference.

export interface OptionFacts {
  readonly help: string;
  /** What a value must be. */
  readonly values?: string | undefined;
  readonly default?: string | undefined;
}

const DEFAULT = 'default: ';

export function describeOption(facts: OptionFacts): string {
  const inner = [facts.values, facts.default === undefined ? undefined : DEFAULT + facts.default];
  const text = inner.filter((part) => part !== undefined).join('; ');
  return text === '' ? facts.help : `${facts.help} [${text}]`;
}

/** The inverse of describeOption. */
export function optionFacts(description: string): OptionFacts {
  const match = /^(.*) \[([^[\]]*)\]$/s.exec(description);
  if (!match) return { help: description };
  const [, help = '', inner = ''] = match;
  const at = inner.startsWith(DEFAULT) ? 0 : inner.lastIndexOf(`; ${DEFAULT}`);
  if (at < 0) return { help, values: inner };
  const values = inner.slice(0, at) || undefined;
  return { help, values, default: inner.slice(inner.indexOf(DEFAULT, at) + DEFAULT.length) };
}
