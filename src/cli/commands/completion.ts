// `tram completion`: the script by which a shell completes commands, options, values and run folders.

import type { Command } from 'commander';
import { completionScript, shellOf } from '../completion.ts';
import { buildProgram } from '../program.ts';
import type { Services } from '../services.ts';
import { topics } from '../topics.ts';

const AFTER = `
Prints a script; it is made from this program's own commands and options, so make it anew with a new version.

Examples:
  tram completion bash > ~/.local/share/bash-completion/completions/tram
  tram completion zsh > ~/.zfunc/_tram                  with fpath+=~/.zfunc before compinit in ~/.zshrc
  tram completion fish > ~/.config/fish/completions/tram.fish
`;

export function defineCompletion(command: Command, services: Services): void {
  command
    .description(
      'Prints the script by which bash, zsh or fish completes tram: commands, options, their values, run folders.',
    )
    .argument('<SHELL>', 'bash, zsh or fish', shellOf)
    .addHelpText('after', AFTER)
    .action(async (shell: ReturnType<typeof shellOf>) => {
      const program = await buildProgram(services, () => true);
      const names = topics().map(({ name }) => name);
      services.stdout.write(completionScript(program, shell, names));
    });
}
