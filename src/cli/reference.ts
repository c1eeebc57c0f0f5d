// docs/commands.md: every command with every option, its valid values and its default, from the program itself, so that
// it cannot say anything else than `--help`. scripts/commands-doc.mjs writes the file and a test compares it.

import type { Command, Option } from 'commander';
import { optionFacts } from './facts.ts';
import { buildProgram } from './program.ts';
import { realServices } from './services.ts';
import { namesHelp } from './settings.ts';

const INTRODUCTION = `# Commands

Made by \`npm run build && node scripts/commands-doc.mjs\` from the program itself. \`tram COMMAND --help\` says the same, with examples
(that of \`tram run\` tells once what its training phases share).

Exit codes: 0 done; 1 what a command was to examine is not well (\`tram verify\`: multipliers differ; \`check\`: a run is not whole; \`data\`: files that cannot be
decoded; \`doctor\`; \`export --check\`), a device was lost, or an error of the program; 2 a mistake in the arguments, the data or the files, told in one line, also where it is that of one multiplier
or trial and all others were done (\`table\`, \`try\`, \`sweep\`); 130 stopped by Ctrl-C after saving (once: after the step in progress, twice: at once). Progress is drawn live on a terminal and
written as plain lines into a pipe; with \`--json\` the result is the only thing on the standard output. \`NO_COLOR\` and \`FORCE_COLOR\` are respected.
`;

export async function commandsMarkdown(): Promise<string> {
  const program = await buildProgram(realServices, () => true);
  const sections = program.commands.flatMap((command) => [
    commandSection(command),
    ...command.commands.map((part) => commandSection(part, command.name())),
  ]);
  const names = `## Names\n\n\`\`\`text\n${namesHelp()}\n\`\`\`\n`;
  const shared = `## Every command\n\n${optionTable(program.options)}\n`;
  return [INTRODUCTION, ...sections, shared, names].join('\n');
}

/** `under`: the command that it is a part of. */
function commandSection(command: Command, under?: string): string {
  const term = [
    ...(under === undefined ? [] : [under]),
    command.name(),
    ...command.registeredArguments.map(argumentTerm),
  ].join(' ');
  const visible = command.options.filter((option) => !option.hidden);
  const groups = new Map<string, Option[]>();
  for (const option of visible) {
    const group = (option.helpGroupHeading ?? 'Options:').replace(/:$/, '');
    groups.set(group, [...(groups.get(group) ?? []), option]);
  }
  const tables = [...groups].map(([group, options]) => `**${group}**\n\n${optionTable(options)}\n`);
  return [`## tram ${term}`, '', `${command.description()}\n`, ...tables].join('\n');
}

function argumentTerm(argument: Command['registeredArguments'][number]): string {
  return argument.required ? argument.name() : `[${argument.name()}]`;
}

function optionTable(options: readonly Option[]): string {
  const rows = options.map((option) => {
    const { help, values, default: fallback } = optionFacts(option.description);
    return [`\`${option.flags}\``, help, values ?? '', fallback === undefined ? '' : `\`${fallback}\``];
  });
  return [['option', 'does', 'valid values', 'default'], ['---', '---', '---', '---'], ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');
}
