// What Verilog may not hold before any Yosys sees it: foreign functions (DPI-C), which a Yosys of the system calls
// while it elaborates, and bind. For a Yosys that is no sandbox also system tasks that read or write files, and names
// in which its own preprocessor could find a comment, a string or a directive.
// Invariant: what is judged are the tokens of the preprocessed text, the very text that Yosys gets; it has no macros
// left to assemble a word from.

import type { SourceText } from '../../netlist/diagnostics.ts';
import { tokenize } from '../../netlist/verilog/tokens.ts';
import { clipped } from '../../tensor/names.ts';

/** System functions and tasks that neither read nor write anything. */
const HARMLESS = new Set(
  `signed unsigned clog2 bits high low left right size increment dimensions countones onehot onehot0 isunknown floor ceil ln log10 exp
  sqrt pow rtoi itor display displayb displayh write writeb writeh monitor strobe finish stop error warning info fatal time stime
  realtime`.split(/\s+/),
);

/** Throws a located UserError; `text` is the preprocessed text of the source. */
export function refuseForeignCode(source: SourceText, text: string, sandboxed: boolean): void {
  const tokens = tokenize(source, text, true);
  tokens.forEach((token, n) => {
    const { kind, text: word, escaped } = token;
    if (escaped) {
      if (!sandboxed && /["`]|\/[/*]/.test(word)) {
        source.fail(
          token,
          `the name "${clipped(word, 60)}"`,
          'one without quotes, backticks and comments for a Yosys of the system',
        );
      }
      return;
    }
    if (kind !== 'name') return;
    if (word === 'import' || word === 'export') {
      const [name, colon] = [tokens[n + 1], tokens[n + 2]];
      if (name?.kind === 'name' && colon?.text === ':') return; // import package::name
      source.fail(token, `"${word}" of a foreign function`, 'Verilog alone: such functions are not run');
    }
    if (word === 'bind') source.fail(token, '"bind"', 'modules that instantiate what they need');
    if (!sandboxed && word.startsWith('$') && !HARMLESS.has(word.slice(1))) {
      source.fail(
        token,
        `"${clipped(word, 60)}", which may reach outside`,
        'the bundled Yosys for it (--yosys bundled)',
      );
    }
  });
}
