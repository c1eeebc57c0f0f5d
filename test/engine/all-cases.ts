// All cases of the conformance suite.

import { type Case, cases as small } from './cases.ts';
import { geometryCases } from './geometry-cases.ts';
import { joinedCases } from './joined-cases.ts';
import { pathCases } from './path-cases.ts';
import { wideCases } from './wide-cases.ts';

export const cases: readonly Case[] = [...small, ...pathCases, ...joinedCases, ...wideCases];

/** Without those whose many channels only kernels for matrix units tell apart, and which take a processor minutes; EVERY_CASE=1 keeps them. */
export const processorCases: readonly Case[] = [
  ...small,
  ...pathCases,
  ...joinedCases,
  ...geometryCases,
  ...(process.env.EVERY_CASE ? wideCases : []),
];
