// The help of `tram run` tells once what its training phases share: --PHASE-epochs stands for --train-epochs,
// --quantize-epochs and so on, with the default of each. Only the text is folded: the options themselves, what is
// suggested for a mistyped one, and the command reference are whole.

import { type Command, Help, Option } from 'commander';
import { isTraining } from '../flow/settings/phases.ts';
import type { Setting } from '../flow/settings/table.ts';
import { describeOption, optionFacts } from './facts.ts';
import { describeSetting, optionName } from './settings.ts';

/** What training phases alone have; what another phase has too is listed whole, under the headings of its phases. */
export function foldedSettings(settings: readonly Setting[]): readonly Setting[] {
  const whole = new Set(
    settings.filter(({ prefixed, phase }) => prefixed && !isTraining(phase)).map(({ name }) => name),
  );
  return settings.filter(({ prefixed, name }) => prefixed && !whole.has(name));
}

/** A heading that names the phases; the options that stand for those of several phases come under it. */
export function foldedGroup(settings: readonly Setting[]): string {
  const phases = [...new Set(foldedSettings(settings).map(({ phase }) => phase))];
  return `Training, in a PHASE that is ${phases.slice(0, -1).join(', ')} or ${phases.at(-1)}:`;
}

/** Folds what the training phases have of the settings in the help of a command. */
export function foldHelp(command: Command, settings: readonly Setting[]): void {
  const shared = foldedSettings(settings);
  const names = new Set(shared.map((setting) => optionName(setting, true)));
  const group = foldedGroup(settings);
  const folded = [...new Set(shared.map(({ name }) => name))].map((name) => {
    const alike = shared.filter((setting) => setting.name === name);
    return new Option(`--PHASE-${name} <${alike[0]!.placeholder}>`, describeShared(alike)).helpGroup(group);
  });
  command.configureHelp({
    ...command.configureHelp(),
    formatHelp: (of, helper) => {
      const visible = helper.visibleOptions(of).filter(({ long }) => !names.has(long ?? ''));
      helper.visibleOptions = () => [...visible, ...folded];
      return Help.prototype.formatHelp.call(helper, of, helper);
    },
  });
}

/** What all phases say of a setting, once; where they say different things, each its own. */
function describeShared(alike: readonly Setting[]): string {
  const facts = alike.map((setting) => ({ phase: setting.phase, ...optionFacts(describeSetting(setting)) }));
  const told = (of: 'help' | 'values' | 'default'): string | undefined => {
    const texts = [...new Set(facts.map((fact) => fact[of]))].filter((text) => text !== undefined);
    if (texts.length <= 1) return texts[0];
    const phasesOf = (text: string) => facts.filter((fact) => fact[of] === text).map(({ phase }) => phase);
    return texts.map((text) => `${phasesOf(text).join(', ')}: ${text}`).join('; ');
  };
  return describeOption({
    help: told('help')!,
    values: told('values'),
    default: told('default'),
  });
}
