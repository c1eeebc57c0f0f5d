// All cases of the conformance suite, for every backend.

import { type Case, cases as small } from './cases.ts';
import { pathCases } from './path-cases.ts';

export const cases: readonly Case[] = [...small, ...pathCases];
