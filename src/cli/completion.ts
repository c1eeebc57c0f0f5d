// Completion of commands, options and values in a shell, as the script that its completion loads. Everything that is
// completed is read from the program itself, its commands, options and the lists in their descriptions, so that it
// cannot differ from --help; folders of runs are looked for while the user types.

import type { Argument, Command, Option } from 'commander';
import { UserError } from '../tensor/errors.ts';
import { optionFacts } from './facts.ts';
import { namedChoicesOf } from './settings.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** What stands for a value: some words, or what is in the folder. */
type Values = { readonly words: readonly string[] } | 'files' | 'runs' | 'sweeps' | 'nothing';

interface OptionEntry {
  /** `--lambda`, `-h`. */
  readonly names: readonly string[];
  readonly help: string;
  /** Undefined for a switch. */
  readonly values: Values | undefined;
  /** The value may be left out. */
  readonly optional: boolean;
}

interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly OptionEntry[];
  /** Of its arguments. */
  readonly values: Values;
}

/** The script for a shell. `topics` are what `tram help` knows beside commands. */
export function completionScript(program: Command, shell: Shell, topics: readonly string[]): string {
  const common = program.options.map(optionEntry);
  const names = program.commands.map((command) => command.name());
  const commands: CommandEntry[] = program.commands.map((command) => ({
    name: command.name(),
    summary: command.summary(),
    options: [...optionsOf(command).map(optionEntry), ...common, HELP],
    values: command.registeredArguments[0] ? valuesOfArgument(command.registeredArguments[0]) : 'nothing',
  }));
  const help: CommandEntry = {
    ...{ name: 'help', summary: 'help of a command, a term or a file format', options: common },
    values: { words: [...names, ...topics] },
  };
  return writers[shell]([...commands, help], [...common, HELP]);
}

/** Also those of its parts, once: which part is typed is not looked at. */
function optionsOf(command: Command): readonly Option[] {
  const visible = [command, ...command.commands].flatMap(({ options }) => options).filter(({ hidden }) => !hidden);
  return visible.filter(({ long }, at) => visible.findIndex((other) => other.long === long) === at);
}

const HELP: OptionEntry = { names: ['-h', '--help'], help: 'show the help', values: undefined, optional: false };

function optionEntry(option: Option): OptionEntry {
  const { long, short, required, optional, description } = option;
  const names = [short, long].filter((name) => name !== undefined && name !== null);
  const takesValue = required || optional;
  return {
    names,
    help: optionFacts(description).help,
    values: takesValue ? valuesOfOption(option) : undefined,
    optional,
  };
}

function valuesOfOption({ long, flags, description }: Option): Values {
  const { data, models, recipes } = namedChoicesOf();
  const name = long?.slice(2) ?? '';
  if (name === 'data' || name === 'test-data') return { words: data };
  if (name === 'model') return { words: models };
  if (name === 'recipe') return { words: recipes };
  const [, list] = /^(?:one of|a list of|lists? of) (.+)$/.exec(optionFacts(description).values ?? '') ?? [];
  const words = list?.split(/, (?:or )?| or | and /).map((word) => word.trim());
  if (words?.every((word) => /^[\w.+:/×-]+$/.test(word))) return { words };
  const [, placeholder = ''] = /[<[](\w+)/.exec(flags) ?? [];
  if (placeholder === 'RUN') return 'runs';
  return /FILE|DIR|FOLDER|PATH|LIBRARY|LIB|CHECKPOINT|MULTIPLIER/.test(placeholder) ? 'files' : 'nothing';
}

function valuesOfArgument(argument: Argument): Values {
  const { models, data } = namedChoicesOf();
  const name = argument.name().toUpperCase();
  if (name === 'SHELL') return { words: shells };
  if (name === 'MODEL') return { words: models };
  if (name === 'DATA') return { words: data };
  if (name === 'SWEEP') return 'sweeps';
  return name.startsWith('RUN') ? 'runs' : 'files';
}

/** A word between single quotes, for every one of the shells. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const writers: Readonly<Record<Shell, (commands: readonly CommandEntry[], common: readonly OptionEntry[]) => string>> =
  {
    bash,
    zsh,
    fish,
  };

const bashCall: Readonly<Record<string, string>> = {
  files: '_tram_files',
  runs: '_tram_folders manifest.json',
  sweeps: '_tram_folders sweep.json',
  nothing: ':',
};

function bash(commands: readonly CommandEntry[], common: readonly OptionEntry[]): string {
  const call = (values: Values) =>
    typeof values === 'string' ? bashCall[values] : `_tram_words ${quoted(values.words.join('\n'))}`;
  const namesOf = (options: readonly OptionEntry[]) => options.flatMap(({ names }) => names).join('\n');
  const cases = commands.map(({ name, options, values }) => {
    const own = options.flatMap((option) => {
      if (!option.values) return [];
      return [
        `      ${option.names.join('|')}) ${option.optional ? `[[ $cur == -* ]] || ` : ''}${call(option.values)}; return ;;`,
      ];
    });
    return [
      `  ${name})`,
      ...(own.length === 0 ? [] : ['    case $prev in', ...own, '    esac']),
      `    if [[ $cur == -* ]]; then _tram_words ${quoted(namesOf(options))}; else ${call(values)}; fi ;;`,
    ].join('\n');
  });
  return `# Completion of tram for bash, made by tram completion bash.
_tram_words() {
  local word
  while IFS= read -r word; do
    [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
  done <<<"$1"
}
_tram_files() {
  local path
  compopt -o filenames 2>/dev/null
  while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen -f -- "$cur")
}
_tram_folders() {
  local path
  compopt -o filenames 2>/dev/null
  for path in "$cur"*/"$1" "$cur"*/*/"$1" "$cur"*/*/*/"$1"; do
    [[ -e $path ]] && COMPREPLY+=("\${path%/"$1"}")
  done
  ((\${#COMPREPLY[@]})) && return
  while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen -d -- "$cur")
}
_tram() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} command= word
  COMPREPLY=()
  # --option=value comes as three words.
  if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
    [[ $word == -* ]] || { command=$word; break; }
  done
  case $command in
  '') if [[ $cur == -* ]]; then _tram_words ${quoted(namesOf(common))}; else _tram_words ${quoted(commands.map(({ name }) => name).join('\n'))}; fi ;;
${cases.join('\n')}
  esac
}
complete -F _tram tram
`;
}

const zshCall: Readonly<Record<string, string>> = {
  files: '_files',
  runs: '_tram_runs',
  sweeps: '_tram_sweeps',
  nothing: ' ',
};

function zsh(commands: readonly CommandEntry[]): string {
  const escaped = (text: string) => text.replaceAll(/[[\]:\\]/g, '\\$&');
  const action = (values: Values) =>
    typeof values === 'string'
      ? zshCall[values]!
      : `(${values.words.map((word) => word.replaceAll(/[ ():\\]/g, '\\$&')).join(' ')})`;
  const specs = (options: readonly OptionEntry[]) =>
    options.flatMap(({ names, help, values, optional }) =>
      names.map((name) =>
        quoted(`${name}[${escaped(help)}]${values ? `${optional ? '::' : ':'}value:${action(values)}` : ''}`),
      ),
    );
  const cases = commands.map(({ name, options, values }) =>
    [
      `  ${name})`,
      `    _arguments -s : \\`,
      ...[...specs(options), quoted(`*:argument:${action(values)}`)].map((spec) => `      ${spec} \\`),
    ]
      .join('\n')
      .replace(/ \\$/, ' ;;'),
  );
  return `#compdef tram
# Completion of tram for zsh, made by tram completion zsh.
_tram_marked() {
  local -a found
  found=(\${PREFIX}*/$1(N:h) \${PREFIX}*/*/$1(N:h) \${PREFIX}*/*/*/$1(N:h))
  if (( $#found )); then compadd -Q -f -U -- \${(q)found}; else _files -/; fi
}
_tram_runs() { _tram_marked manifest.json }
_tram_sweeps() { _tram_marked sweep.json }
_tram() {
  local -a commands
  commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary.replaceAll(':', '\\:')}`)}`).join('\n')}
  )
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  local name=\${words[2]}
  shift words
  (( CURRENT-- ))
  case $name in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _tram ]]; then _tram "$@"; else compdef _tram tram; fi
`;
}

function fish(commands: readonly CommandEntry[], common: readonly OptionEntry[]): string {
  // Between single quotes fish knows \\' and \\\\ alone.
  const word = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const source = (values: Values) => {
    if (values === 'files') return '-F';
    if (values === 'nothing') return '-f';
    if (values === 'runs') return `-f -a '(__tram_folders manifest.json)'`;
    if (values === 'sweeps') return `-f -a '(__tram_folders sweep.json)'`;
    return `-f -a ${word(values.words.map((one) => one.replaceAll(/[\s()$;"'\\]/g, '\\$&')).join(' '))}`;
  };
  const optionLines = (condition: string, options: readonly OptionEntry[]) =>
    options.map(({ names, help, values, optional }) => {
      const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
      const value = values ? `${optional ? '' : '-r '}${source(values)}` : '-f';
      return `complete -c tram -n ${word(condition)} ${flags.join(' ')} ${value} -d ${word(help)}`;
    });
  const lines = commands.flatMap(({ name, summary, options, values }) => [
    `complete -c tram -n __fish_use_subcommand -f -a ${name} -d ${word(summary)}`,
    `complete -c tram -n '__fish_seen_subcommand_from ${name}' ${source(values)}`,
    ...optionLines(`__fish_seen_subcommand_from ${name}`, options),
  ]);
  return `# Completion of tram for fish, made by tram completion fish.
function __tram_folders
  set -l typed (commandline -ct)
  for path in $typed*/$argv[1] $typed*/*/$argv[1] $typed*/*/*/$argv[1]
    string replace -- /$argv[1] '' $path
  end
end
complete -c tram -e
${[...optionLines('__fish_use_subcommand', common), ...lines].join('\n')}
`;
}

/** The shell of a name; a UserError for another. */
export function shellOf(name: string): Shell {
  const found = shells.find((shell) => shell === name);
  if (found) return found;
  throw new UserError(`completion for '${name}' is not known; valid: ${shells.join(', ')}`);
}
