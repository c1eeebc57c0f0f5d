// The page of the library, made from the declarations that the build writes: everything that the package exports, with
// the words above it and its types.
// Invariant: an exported name whose declaration is not found ends the build.

import { readFileSync } from 'node:fs';

const declarations = (name) => readFileSync(new URL(`../../dist/${name}`, import.meta.url), 'utf8');

const titles = {
  flow: 'Runs, sweeps and what they come to',
  workbench: 'A multiplier without a network',
  multiplier: 'Multipliers as functions',
  netlist: 'Netlists and files',
  hardware: 'Synthesis and proof',
  data: 'Data',
  nn: 'Networks',
  engine: 'The engine',
  report: 'Pictures and tables',
  tensor: 'Tensors, files and errors',
};

const INTRODUCTION = `# Library

What \`import … from 'tram-axm'\` offers, from the declarations that your editor shows. Nothing in it prints; progress comes as events,
and a user's mistake is a \`UserError\` of one line. How to begin: the [tour](tour.md) and \`examples/\`.
`;

/** Every exported name with the module that it comes from. */
export function exportedNames() {
  const found = declarations('index.d.ts').matchAll(/^export (?:type )?\{([^}]*)\} from '\.\/(.*)\.ts'/gm);
  return [...found].flatMap(([, names, module]) =>
    names
      .split(',')
      .map((name) => name.trim().replace(/^type /, ''))
      .filter((name) => name !== '')
      .map((name) => ({ name, module })),
  );
}

/** The comment above a declaration and the declaration itself. */
export function declarationOf(name, module) {
  const text = declarations(`${module}.d.ts`);
  const begin = new RegExp(
    `^export (?:declare )?(?:abstract )?(?:function|class|interface|type|const) ${name}\\b`,
    'm',
  ).exec(text);
  if (!begin) {
    const [, original, from] =
      new RegExp(`^export (?:type )?\\{[^}]*?\\b(?:(\\w+) as )?${name}\\b[^}]*\\} from '(.*)\\.ts'`, 'm').exec(text) ??
      [];
    if (from !== undefined) {
      const place = new URL(`${from}.d.ts`, `file:///${module}`).pathname.slice(1).replace(/\.d\.ts$/, '');
      return declarationOf(original ?? name, place);
    }
    throw new Error(`no declaration of ${name} in dist/${module}.d.ts`);
  }
  const comment = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n$/.exec(text.slice(0, begin.index))?.[1] ?? '';
  return { words: wordsOf(comment), code: statementAt(text.slice(begin.index)) };
}

const wordsOf = (comment) =>
  comment
    .split('\n')
    .map((line) => line.replace(/^\s*\*? ?/, '').trimEnd())
    .join('\n')
    .trim();

/** Up to the end of the first statement: where all brackets are closed and its last line ends. */
function statementAt(text) {
  let depth = 0;
  const lines = [];
  let isComment = false;
  for (const line of text.split('\n')) {
    lines.push(line);
    if (/^\s*\/\*\*/.test(line)) isComment = true;
    if (!isComment) {
      for (const sign of line.replace(/=>/g, '').replace(/'[^']*'|\/\/.*$/g, '')) {
        if ('({[<'.includes(sign)) depth++;
        else if (')}]>'.includes(sign)) depth--;
      }
    }
    if (line.includes('*/')) isComment = false;
    if (depth === 0 && /[;}]$/.test(line)) break;
  }
  return lines.join('\n').replace(/^export (declare )?/, '');
}

export function libraryPage() {
  const groups = new Map();
  for (const one of exportedNames()) {
    const room = one.module.split('/')[0];
    groups.set(room, [...(groups.get(room) ?? []), one]);
  }
  const order = Object.keys(titles);
  const rooms = [...groups].sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  const sections = rooms.map(([room, members]) => {
    const entries = members
      .toSorted((a, b) => a.name.localeCompare(b.name, 'en'))
      .map(({ name, module }) => {
        const { words, code } = declarationOf(name, module);
        return `### ${name}\n\n${words}\n\n\`\`\`ts\n${code}\n\`\`\`\n`;
      });
    return `## ${titles[room] ?? room}\n\n${entries.join('\n')}`;
  });
  return [INTRODUCTION, ...sections].join('\n');
}
