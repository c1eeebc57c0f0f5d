// The page of settings, made from the program's schema and table: every key of a configuration with the option that
// sets it, its valid values and its default.

import { fields } from '../../dist/flow/settings/fields.js';

const INTRODUCTION = `# Settings

Every setting of a run, from the program's own schema. A configuration is JSON with these keys (\`tram run --print-config\` prints
one with every default); in the library it is what \`runFlow\` takes as \`settings\`. On the command line each has an option.
`;

const cell = (text) =>
  String(text ?? '')
    .replaceAll('|', '\\|')
    .replaceAll('\n', ' ');

export function settingsPage() {
  const groups = grouped(fields());
  const tables = [...groups].map(([group, members]) => {
    const rows = members.map(({ paths, name, help, expected, usual }) =>
      [
        paths.map((path) => `\`${path}\``).join(', '),
        `\`--${name}\``,
        help,
        expected,
        usual === undefined ? '' : `\`${usual}\``,
      ]
        .map(cell)
        .join(' | '),
    );
    return `## ${group}\n\n| key | option | does | valid values | default |\n|---|---|---|---|---|\n${rows.map((row) => `| ${row} |`).join('\n')}\n`;
  });
  return [INTRODUCTION, ...tables].join('\n');
}

function grouped(all) {
  const groups = new Map();
  for (const field of all) groups.set(field.group, [...(groups.get(field.group) ?? []), field]);
  return groups;
}
