// The units of area, delay and power: those of a library, or, of the built-in technology, gates. The latter's numbers
// belong to no process, so only their ratios are told.

export interface Units {
  readonly area: string;
  readonly delay: string;
  readonly power: string;
  /** One of each in µm², ps and mW. */
  readonly scale: { readonly um2: number; readonly ps: number; readonly mW: number };
}

export const libraryUnits: Units = { area: 'µm²', delay: 'ps', power: 'mW', scale: { um2: 1, ps: 1, mW: 1 } };
