// The contract between host and kernels, read from the `.cu` files: for a launch, the kernel's signature under the
// launch's macros, and where the launch disagrees with it. A small preprocessor decides the conditionals; no compiler
// is needed. What a kernel computes is not its matter.

import type { Argument, Arguments, KernelLaunch, KernelSource } from '../../src/engine/cuda/lower/launch.ts';
import { readSource } from '../../src/engine/cuda/runtime/compiler.ts';
import { KernelLibrary } from '../../src/engine/cuda/runtime/kernel-library.ts';

type Kind = Argument['type'];

/** What a parameter or a field is: for a structure its fields too. */
export type Parameter =
  | { readonly name: string; readonly kind: Exclude<Kind, 'struct'> }
  | { readonly name: string; readonly kind: 'struct'; readonly fields: readonly Parameter[] };

export interface Kernel {
  readonly parameters: readonly Parameter[];
  /** Most threads of a block, where the kernel says so. */
  readonly threads: number | undefined;
  /** Of the arrays in shared memory that the kernel itself declares, each behind the other and aligned to 16. */
  readonly ownBytes: () => number;
}

/** A kernel file under the macros of a source. */
export interface KernelFile {
  readonly kernels: ReadonlyMap<string, Kernel>;
  /** Macros that the text or a decided conditional reads and nobody defines. */
  readonly missing: readonly string[];
  /** Macros of the source that nothing reads. */
  readonly unused: readonly string[];
  /** Fields of a structure. */
  readonly fieldsOf: (structure: string) => readonly Parameter[];
}

interface Macro {
  readonly parameters: readonly string[] | undefined;
  readonly body: string;
}

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');

/** The lines that conditionals leave, with the macros defined along them and the names that decisions have read. */
function preprocess(text: string, defines: KernelSource['defines']) {
  const macros = new Map<string, Macro>(
    Object.entries(defines).map(([name, body]) => [name, { parameters: undefined, body: String(body) }]),
  );
  const read = new Set<string>();
  const lines: string[] = [];
  /**
   * Of each open conditional: whether its lines stay, whether a branch was taken, whether it stands in lines that stay.
   */
  const open: { stays: boolean; taken: boolean; readonly outer: boolean }[] = [];
  const stays = () => open.every((one) => one.stays);
  const holds = (condition: string) => {
    const asked = new Set(condition.match(/(?<=defined\()\w+/g));
    for (const name of namesIn(condition))
      if (name !== 'defined' && (!asked.has(name) || macros.has(name))) read.add(name);
    const decided = condition.replace(/defined\((\w+)\)/g, (_, name) => (macros.has(name) ? '1' : '0'));
    return evaluate(expand(decided, macros)) !== 0;
  };
  const begin = (condition: () => boolean) => {
    const outer = stays();
    const taken = outer && condition();
    open.push({ stays: taken, taken, outer });
  };
  const otherwise = (condition: () => boolean) => {
    const last = open.at(-1)!;
    last.stays = last.outer && !last.taken && condition();
    last.taken ||= last.stays;
  };
  for (const line of withoutComments(text).replace(/\\\n/g, ' ').split('\n')) {
    const [, directive = '', rest = ''] = /^\s*#\s*(\w+)\s*(.*)$/.exec(line) ?? [];
    if (directive === 'if') begin(() => holds(rest));
    else if (directive === 'ifdef') begin(() => macros.has(rest.trim()));
    else if (directive === 'ifndef') begin(() => !macros.has(rest.trim()));
    else if (directive === 'elif') otherwise(() => holds(rest));
    else if (directive === 'else') otherwise(() => true);
    else if (directive === 'endif') open.pop();
    else if (!stays()) continue;
    else if (directive === 'define') {
      const [, name, parameters, body] = /^(\w+)(\([^)]*\))?\s*(.*)$/.exec(rest)!;
      macros.set(name!, { parameters: parameters?.slice(1, -1).split(/,\s*/), body: body! });
    } else if (directive === '') lines.push(line);
    if (/^ifn?def$/.test(directive) && macros.has(rest.trim())) read.add(rest.trim());
  }
  return { text: lines.join('\n'), macros, read };
}

/** Identifiers outside texts. */
const namesIn = (text: string): string[] => text.replace(/"(\\.|[^"\\])*"/g, '').match(/\b[A-Za-z_]\w*\b/g) ?? [];

/** Macros without parameters in a text replaced by what they stand for. */
function expand(text: string, macros: ReadonlyMap<string, Macro>): string {
  const next = text.replace(/\b[A-Za-z_]\w*\b/g, (name) => {
    const macro = macros.get(name);
    return macro && macro.parameters === undefined ? macro.body : name;
  });
  return next === text ? text : expand(next, macros);
}

const precedence: readonly Readonly<Record<string, (a: number, b: number) => number>>[] = [
  { '&&': (a, b) => Number(a !== 0 && b !== 0) },
  { '==': (a, b) => Number(a === b), '!=': (a, b) => Number(a !== b) },
  { '>': (a, b) => Number(a > b), '<': (a, b) => Number(a < b) },
  { '+': (a, b) => a + b, '-': (a, b) => a - b },
  { '*': (a, b) => a * b, '/': (a, b) => Math.trunc(a / b) },
];

/** An expression of integers; a name that is left counts as 0, as in a conditional. */
function evaluate(text: string): number {
  const tokens = text.match(/\w+|==|!=|&&|[-+*/()<>!]/g) ?? [];
  const unary = (): number => {
    const token = tokens.shift();
    if (token === '!') return Number(unary() === 0);
    if (token === '-') return -unary();
    if (token !== '(') return Number.parseInt(token ?? '', 10) || 0;
    const value = binary(0);
    tokens.shift();
    return value;
  };
  const binary = (level: number): number => {
    const operators = precedence[level];
    if (!operators) return unary();
    let value = binary(level + 1);
    while (tokens[0] !== undefined && tokens[0] in operators)
      value = operators[tokens.shift()!]!(value, binary(level + 1));
    return value;
  };
  return binary(0);
}

const scalars: Readonly<Record<string, Exclude<Kind, 'struct'>>> = {
  int: 'i32',
  u32: 'i32',
  float: 'f32',
  double: 'f64',
};

/** Bytes of an element in shared memory. */
const sizes: Readonly<Record<string, number>> = { int: 4, u32: 4, float: 4, double: 8, Total: 4, Single: 12 };

/** Bytes of the arrays in shared memory that a kernel's text declares. */
function sharedArrays(body: string, macros: ReadonlyMap<string, Macro>): number {
  const known = new Map(macros);
  for (const [, list] of body.matchAll(/\bconstexpr int ([^;]+);/g)) {
    for (const [, name, value] of list!.matchAll(/(\w+) = ([^,]+)/g)) {
      known.set(name!, { parameters: undefined, body: `(${value})` });
    }
  }
  const arrays = body.matchAll(/^\s*__shared__ (?:__align__\(\d+\) )?(\w+) (\w+)((?:\[[^\]]+\])+);/gm);
  return [...arrays].reduce((sum, [, type, name, extents]) => {
    const counts = [...extents!.matchAll(/\[([^\]]+)\]/g)].map(([, extent]) => expand(extent!, known));
    const size = sizes[type!];
    if (size === undefined || namesIn(counts.join(' ')).length > 0) throw new Error(`the size of ${type} ${name}`);
    return sum + Math.ceil(counts.map(evaluate).reduce((a, b) => a * b, size) / 16) * 16;
  }, 0);
}

function read(source: KernelSource): KernelFile {
  const { text, macros, read } = preprocess(readSource(source), source.defines);
  const structures = new Map<string, readonly Parameter[]>();
  const parameterOf = (declaration: string): Parameter => {
    const [, type, pointer, name] =
      /^(?:const )?(\w+)\s*(\*)?\s*(?:__restrict__\s+)?(\w+)$/.exec(declaration.trim()) ?? [];
    if (type === undefined || name === undefined) throw new Error(`${source.file}: a parameter "${declaration}"`);
    if (pointer) return { name, kind: 'address' };
    const kind = scalars[type];
    return kind ? { name, kind } : { name, kind: 'struct', fields: fieldsOf(type) };
  };
  const fieldsOf = (structure: string): readonly Parameter[] => {
    const known = structures.get(structure);
    if (known) return known;
    const start = text.search(new RegExp(`struct ${structure} \\{`));
    if (start < 0) throw new Error(`${source.file}: no structure ${structure}`);
    const fields = topLevel(text.slice(text.indexOf('{', start) + 1)).flatMap((declaration) => {
      const [first, ...more] = declaration.split(/,\s*/);
      const [, type, rest] = /^((?:const )?\w+ )(.*)$/s.exec(first!)!;
      return [rest!, ...more].map((one) => parameterOf(`${type}${one}`));
    });
    structures.set(structure, fields);
    return fields;
  };
  const kernels = new Map<string, Kernel>();
  const expanded = text.replace(/\b(KERNEL|SHAPE)\b/g, (name) => macros.get(name)?.body ?? name);
  const signature = /__global__ void\s+(?:__launch_bounds__\(([^)]*)\)\s+)?(\w+)\(([^)]*)\)\s*\{/g;
  for (const { index, 0: whole, 1: bounds, 2: name, 3: list } of expanded.matchAll(signature)) {
    const [threads] = bounds?.split(',') ?? [];
    const [body] = expanded.slice(index + whole.length).split(/^}/m);
    kernels.set(name!, {
      parameters: list!.split(',').map(parameterOf),
      threads: threads === undefined ? undefined : evaluate(expand(threads, macros)),
      ownBytes: () => sharedArrays(body!, macros),
    });
  }
  // What is read: by the text, by decisions, and by the macros that are.
  const words = new Set([...namesIn(text), ...read]);
  for (const word of words) {
    const { parameters, body } = macros.get(word) ?? { parameters: undefined, body: '' };
    for (const name of namesIn(body)) if (!parameters?.includes(name)) words.add(name);
  }
  // Names in capitals are macros, but for what templates and constants of the text declare.
  const declarations = /\b(?:int|bool|float|class|typename) ([A-Z]\w*)\b|\b([A-Z]\w*)\s*=(?!=)/g;
  const declared = new Set([...text.matchAll(declarations)].flatMap(([, typed, assigned]) => [typed, assigned]));
  const isMacro = (word: string) => /^[A-Z][A-Z0-9_]+$/.test(word) && !declared.has(word);
  return {
    kernels,
    missing: [...words].filter((word) => isMacro(word) && !macros.has(word)),
    unused: Object.keys(source.defines).filter((name) => !words.has(name)),
    fieldsOf,
  };
}

/** The declarations of variables at the top of a structure's body, up to its closing brace. */
function topLevel(body: string): string[] {
  let depth = 0;
  let flat = '';
  for (const character of body) {
    if (character === '}' && depth === 0) break;
    if (character === '}') depth--;
    if (depth === 0) flat += character === '}' ? ';' : character;
    if (character === '{') depth++;
  }
  const declarations = flat.split(';').map((one) => one.trim());
  return declarations.filter((one) => one !== '' && !/[(){}]/.test(one));
}

const files = new Map<string, KernelFile>();

export function kernelFile(source: KernelSource): KernelFile {
  const name = KernelLibrary.nameOf(source);
  const known = files.get(name);
  if (known) return known;
  const file = read(source);
  files.set(name, file);
  return file;
}

/** Where arguments differ from parameters: in number, names, kinds or order. */
function differences(args: Arguments, parameters: readonly Parameter[], where: string): string[] {
  const given = Object.entries(args);
  const describe = (list: readonly (readonly [string, { readonly kind?: Kind; readonly type?: Kind }])[]) =>
    list.map(([name, { kind, type }]) => `${kind ?? type} ${name}`).join(', ');
  const wanted = describe(parameters.map((one) => [one.name, one] as const));
  const found = describe(given);
  if (wanted !== found) return [`${where} takes (${wanted}), not (${found})`];
  return given.flatMap(([name, argument], at) => {
    const parameter = parameters[at]!;
    if (argument.type !== 'struct' || parameter.kind !== 'struct') return [];
    return differences(argument.fields, parameter.fields, `${where}.${name}`);
  });
}

const alike = new Set<string>();

/** Where a launch disagrees with its kernel; nothing where it does not. */
export function disagreements({ source, name, parameters, block }: KernelLaunch): string[] {
  const shape = JSON.stringify([KernelLibrary.nameOf(source), name, block, parameters], (_, value) =>
    typeof value === 'bigint' || typeof value === 'number' ? 0 : value,
  );
  const threads = block[0] * block[1] * block[2];
  const key = `${threads} ${shape}`;
  if (alike.has(key)) return [];
  const file = kernelFile(source);
  const kernel = file.kernels.get(name);
  const where = `${source.file}: ${name}`;
  if (!kernel) return [`${where} is no kernel of this file`];
  const problems = [
    ...differences(parameters, kernel.parameters, where),
    ...file.missing.map((macro) => `${where}: the macro ${macro} is not defined`),
    ...file.unused.map((macro) => `${where}: nothing reads the macro ${macro}`),
    ...((kernel.threads ?? 1024) < threads ? [`${where}: ${threads} threads, at most ${kernel.threads}`] : []),
  ];
  if (problems.length === 0) alike.add(key);
  return problems;
}
