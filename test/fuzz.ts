// Fuzzing of readers: random mutations of valid files, splices of two of them, and noise. A reader either still accepts
// the text or refuses it with a UserError of one line, in bounded time, never anything else. The tests are short; a
// longer run, of all subjects of a file in turn, for a given time and seed:
//   FUZZ_SECONDS=600 FUZZ_SEED=7 npx vitest run src/netlist/fuzz.test.ts

import { expect, test } from 'vitest';
import { UserError } from '../src/tensor/errors.ts';
import { Random } from '../src/tensor/random.ts';

export interface FuzzSubject {
  readonly name: string;
  readonly valid: readonly string[];
  /** Reads the text and uses what came of it. */
  readonly read: (text: string) => void;
}

const usualSnippets =
  "\n| |\\|#|[|]|(|)|{|}|,|.names|.end|.model|.subckt|.latch|-|0|1|=|'|~|;|\0|é|\ud800|9999999999|1e999|module|assign|wire [4095:0] |/*|(*|:|×".split(
    '|',
  );

function mutant(random: Random, valid: readonly string[], snippets: readonly string[]): string {
  let text = valid[random.integer(valid.length)]!;
  if (random.integer(50) === 0) {
    return Array.from({ length: random.integer(300) }, () => String.fromCharCode(random.integer(256))).join('');
  }
  const any = () => valid[random.integer(valid.length)]!;
  for (let edit = random.integer(4); edit >= 0; edit--) {
    const at = random.integer(text.length + 1);
    const end = at + random.integer(random.integer(4) === 0 ? 200 : 4);
    const cut = text.slice(at, end);
    const from = any();
    const inserted = [
      snippets[random.integer(snippets.length)]!,
      '',
      cut + cut,
      from.slice(random.integer(from.length)).slice(0, 1 + random.integer(60)),
      cut.repeat(random.integer(30) === 0 ? 200 : 2),
    ];
    text = text.slice(0, at) + inserted[random.integer(inserted.length)] + text.slice(end);
  }
  return text;
}

/** True when the text was refused. */
function expectRefusedOrRead(subject: FuzzSubject, text: string, seed: string): boolean {
  const start = process.cpuUsage();
  const refused = isRefused(subject, text, seed);
  const { user } = process.cpuUsage(start);
  if (user > 5e6) throw new Error(`${subject.name}, ${seed}: ${user / 1e6} s for ${JSON.stringify(text)}`);
  return refused;
}

function isRefused({ read, name }: FuzzSubject, text: string, seed: string): boolean {
  try {
    read(text);
    return false;
  } catch (error) {
    if (!(error instanceof UserError)) throw new Error(`${name}, ${seed}: ${JSON.stringify(text)}`, { cause: error });
    expect(error.message).not.toContain('\n');
    if (error.message.length > 2000)
      throw new Error(`${name}, ${seed}: a message of ${error.message.length} characters`, { cause: error });
    return true;
  }
}

const MUTANTS = 400;
const seconds = Number(process.env.FUZZ_SECONDS ?? 0);
const seed = Number(process.env.FUZZ_SEED ?? 1);

/** Defines the tests; `words` are pieces of the language that mutations insert beside the usual ones. */
export function fuzzReaders(subjects: readonly FuzzSubject[], words: readonly string[] = []): void {
  const snippets = [...usualSnippets, ...words];
  test.each(subjects)(`${MUTANTS} mutants of a valid $name are read or refused with a UserError`, (subject) => {
    const random = new Random(1);
    let refused = 0;
    for (let n = 0; n < MUTANTS; n++) {
      if (expectRefusedOrRead(subject, mutant(random, subject.valid, snippets), `mutant ${n}`)) refused++;
    }
    expect(refused).toBeGreaterThan(MUTANTS / 5);
  });

  test.runIf(seconds > 0)(
    `mutants for ${seconds} s from seed ${seed}`,
    () => {
      const end = Date.now() + 1000 * seconds;
      let count = 0;
      for (; Date.now() < end; count++) {
        const subject = subjects[count % subjects.length]!;
        expectRefusedOrRead(
          subject,
          mutant(new Random(seed, count), subject.valid, snippets),
          `seed ${seed}, mutant ${count}`,
        );
      }
      console.info(`${count} mutants`);
      expect(count).toBeGreaterThan(0);
    },
    1000 * seconds + 60_000,
  );
}
