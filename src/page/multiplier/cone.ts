// What a gate is made of: the gates before it, the inputs that reach it, and its function in words. Pure.

import type { DrawnNetlist } from '../../serve/api.ts';

export interface Cone {
  /** The gate itself, and all nodes before it. */
  readonly members: ReadonlySet<number>;
  readonly gates: number;
  /** Names of the inputs that it depends on, in their order. */
  readonly inputs: readonly string[];
}

export function coneOf({ nodes }: DrawnNetlist, gate: number): Cone {
  const members = new Set<number>();
  const left = [gate];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (members.has(next)) continue;
    members.add(next);
    left.push(...nodes[next]!.fanins);
  }
  const inputs = [...members].filter((member) => nodes[member]!.kind === 'input').sort((a, b) => a - b);
  const gates = [...members].filter((member) => !['input', 'constant'].includes(nodes[member]!.kind)).length;
  return { members, gates, inputs: inputs.map((input) => nodes[input]!.name) };
}

/** `a ∧ b` of the names of its fanins; of an input or constant its name alone. */
export function functionOf({ nodes }: DrawnNetlist, gate: number): string {
  const { kind, fanins, name } = nodes[gate]!;
  const [a, b, c] = fanins.map((fanin) => nodes[fanin]!.name);
  switch (kind) {
    case 'not':
      return `¬${a}`;
    case 'and':
      return `${a} ∧ ${b}`;
    case 'or':
      return `${a} ∨ ${b}`;
    case 'xor':
      return `${a} ⊕ ${b}`;
    case 'xor3':
      return `${a} ⊕ ${b} ⊕ ${c}`;
    case 'maj':
      return `majority of ${a}, ${b}, ${c}`;
    default:
      return name;
  }
}

/** Signs of IEC 60617-12 in the box of a gate; a majority is ≥2 of its three inputs. */
export const gateSigns: Readonly<Record<string, string>> = {
  not: '1',
  and: '&',
  or: '≥1',
  xor: '=1',
  xor3: '2k+1',
  maj: '≥2',
};

/** `a[0] … a[7], b[2]`: runs of numbers that follow each other are put together. */
export function namesInShort(names: readonly string[]): string {
  const groups: { base: string; from: number; to: number; names: [first: string, last: string] }[] = [];
  for (const name of names) {
    const match = /^(.*?)(\d+)(\D*)$/.exec(name);
    const [base, number] = match ? [`${match[1]}#${match[3]}`, Number(match[2])] : [name, 0];
    const last = groups.at(-1);
    if (match && last && last.base === base && last.to + 1 === number) {
      last.to = number;
      last.names[1] = name;
    } else groups.push({ base, from: number, to: number, names: [name, name] });
  }
  const told = groups.map(({ from, to, names: [first, last] }) => {
    if (from === to) return first;
    return to === from + 1 ? `${first}, ${last}` : `${first} … ${last}`;
  });
  return told.join(', ');
}
