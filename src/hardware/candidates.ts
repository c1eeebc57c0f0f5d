// The ways a circuit is tried to be synthesised: which adders are taken out first, and which ABC script maps the rest.
// No script is best for all circuits: those made of adders gain from adder cells, slow chains need restructuring for
// depth, and area recovery after restructuring differs by luck. Each is short, deterministic (nothing is bound to time)
// and judged by its result.
// Source: ABC commands as documented in its help: &dch structural choices, &nf area-flow mapping, &st; &if -g
// delay-optimal rewriting.

/** Which adders become cells of the library before ABC sees the rest; where the library has none, nothing changes. */
export type AdderExtraction = 'none' | 'as-written' | 'full' | 'full-and-half';

export interface Candidate {
  readonly name: string;
  readonly adders: AdderExtraction;
  /** Every second full adder as its dual, where that saves inverters (polarity.ts). */
  readonly dual?: boolean;
  /** An ABC script in the form of Yosys' `abc -script +…`, with blanks written as commas. */
  readonly abc: string;
}

const MAP = '&get,-n;&dch,-f;&nf,-R,10;&put;topo';
const SHALLOW = '&get,-n;&st;&if,-g,-K,4;&dch,-f;&nf,-R,10;&put;topo';

/** One that is good for most circuits, in a fraction of a second. */
export const QUICK: readonly Candidate[] = [{ name: 'choices', adders: 'none', abc: `+strash;${MAP}` }];

export const ALL: readonly Candidate[] = [
  ...QUICK,
  { name: 'rewrite', adders: 'none', abc: `+strash;dc2;${MAP}` },
  { name: 'twice', adders: 'none', abc: `+strash;${MAP};strash;${MAP}` },
  { name: 'shallow', adders: 'none', abc: `+strash;${SHALLOW}` },
  { name: 'shallow, then choices', adders: 'none', abc: `+strash;${SHALLOW};strash;${MAP}` },
  { name: 'adders as written', adders: 'as-written', abc: `+strash;${MAP}` },
  { name: 'full adders', adders: 'full', abc: `+strash;${MAP};strash;${MAP}` },
  { name: 'full and half adders', adders: 'full-and-half', abc: `+strash;${MAP}` },
];

/** What is tried besides for the least power, in libraries whose full adder gives complements. */
export const DUAL: readonly Candidate[] = ALL.filter(({ adders }) => adders !== 'none').map((one) => ({
  ...one,
  name: `${one.name}, every second one dual`,
  dual: true,
}));

/** The Yosys commands that take the adders out of a flat circuit. */
export function adderCommands(extraction: AdderExtraction): string[] {
  if (extraction === 'none') return [];
  const search = {
    'as-written': ['extract_fa -fa'],
    full: ['abc -g AND,XOR', 'extract_fa -fa'],
    'full-and-half': ['abc -g AND,XOR', 'extract_fa -fa -ha'],
  }[extraction];
  return ['techmap', 'opt', ...search, 'opt_clean'];
}

/** And those that map them, and bring what is left down to gates. */
export const mappingCommands = (extraction: AdderExtraction): string[] =>
  extraction === 'none' ? ['techmap'] : ['techmap -map adders.v', 'techmap', 'opt'];
