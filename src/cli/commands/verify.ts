// `tram verify`: whether two multipliers are equal for all operands. Exit code 0: equal; 1: they differ, with a
// counterexample.
// Invariant: "equal" is said only after all operand pairs or a proof, never after samples.

import { type Command, Option } from 'commander';
import { nonEmpty, oneOf } from '../../flow/settings/values.ts';
import { given } from '../../tensor/given.ts';
import { yosysPlaces } from '../../workbench/choices.ts';
import { describeOption } from '../facts.ts';
import { Exit } from '../failure.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, styleFor } from '../style.ts';
import {
  addJson,
  addLenient,
  addLiberty,
  addSigned,
  addTableReading,
  addTop,
  readLoading,
  SUBJECTS,
  tellNotes,
} from '../workbench.ts';

const AFTER = `
${SUBJECTS}

All operand pairs are compared up to 24 operand bits together (12×12). Beyond that random pairs look for a difference; then algebra decides
for netlists of full and half adders, however they are arranged (26×26 in seconds); then SAT (Yosys and ABC), which is quick for
netlists that are alike and may give up, and says so, on wide ones that are not.

Products are compared as signed if a table or a generator says so, or with --signed. Names of ports do not matter, their order does:
the first bus is the weight.

Exit code: 0 equal; 1 different, with the operands and both products; 2 a mistake in the arguments or the files.

--json prints one object: equal, and either method (exhaustive, algebra or proof) and pairs, or counterexample (w, x, a, b: the products of A, B).

Examples:
  tram verify multiplier.v multiplier.blif
  tram verify multiplier.blif dadda:8x8
  tram verify multiplier.v multiplier.npy --json
`;

const methods = { exhaustive: 'over all', algebra: 'by algebra, for all', proof: 'by SAT, for all' } as const;

interface Options {
  readonly signed?: boolean;
  readonly lenient?: boolean;
  readonly yosys?: (typeof yosysPlaces)[number];
  readonly json?: boolean;
}

export function defineVerify(command: Command, services: Services): void {
  const yosys = describeOption({
    help: 'the Yosys that proves wide multipliers',
    values: `one of ${yosysPlaces.join(', ')}`,
    default: yosysPlaces[0],
  });
  command
    .description('Proves two multipliers equal, or gives operands for which they differ.')
    .argument('<A>', 'netlist, table or generator', nonEmpty('A', 'a multiplier'))
    .argument('<B>', 'the other', nonEmpty('B', 'a multiplier'));
  addSigned(command);
  addLenient(command);
  addTop(command);
  addLiberty(command);
  addTableReading(command);
  command.addOption(new Option('--yosys <WHICH>', yosys).argParser(oneOf('--yosys', yosysPlaces)));
  addJson(command);
  command.addHelpText('after', AFTER).action((a: string, b: string) => verify(a, b, command, services));
}

async function verify(a: string, b: string, command: Command, { stdout, stderr }: Services): Promise<void> {
  const { signed, yosys, json } = command.opts<Options>();
  const { loadMultiplier } = await import('../../workbench/load.ts');
  const { verifyMultipliers } = await import('../../workbench/verify.ts');
  // Which of the two is signed is for the comparison to know: --signed reads the products of both so.
  const { signed: _, ...options } = readLoading(command);
  const first = await loadMultiplier(a, options);
  const second = await loadMultiplier(b, options);
  tellNotes(stderr, [...first.notes, ...second.notes]);
  const result = await verifyMultipliers(first, second, given({ signed, yosys }));
  const style = styleFor(stdout, wantsColor(command));
  if (json) stdout.write(`${JSON.stringify(result)}\n`);
  else if (result.equal) {
    stdout.write(`${style.green('equal')} ${methods[result.method]} ${grouped(result.pairs)} operand pairs\n`);
  } else {
    const { w, x, a: product, b: other } = result.counterexample;
    stdout.write(`${style.red('different')} at ${w} × ${x}: ${a} gives ${product}, ${b} gives ${other}\n`);
  }
  if (!result.equal) throw new Exit(1);
}
