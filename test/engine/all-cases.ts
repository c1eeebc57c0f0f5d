// All cases of the conformance suite.

import { type Case, cases as small } from './cases.ts';
import { collectiveCases } from './collective-cases.ts';
import { depthwiseCases } from './depthwise-cases.ts';
import { dropoutCases } from './dropout-cases.ts';
import { formulaCases } from './formula-cases.ts';
import { geometryCases } from './geometry-cases.ts';
import { joinedCases } from './joined-cases.ts';
import { lossCases } from './loss-cases.ts';
import { matrixCases } from './matrix-cases.ts';
import { pathCases } from './path-cases.ts';
import { poolCases } from './pool-cases.ts';
import { relu6Cases } from './relu6-cases.ts';
import { repeatCases } from './repeat-cases.ts';
import { tableCases } from './table-cases.ts';
import { updateCases } from './update-cases.ts';
import { wideCases } from './wide-cases.ts';
import { windowCases } from './window-cases.ts';
import { windowedBitCases } from './windowed-bit-cases.ts';

/** What only kernels for matrix units tell apart. */
const ofMatrixUnits = [...windowedBitCases, ...wideCases];

export const cases: readonly Case[] = [
  ...small,
  ...formulaCases,
  ...pathCases,
  ...joinedCases,
  ...geometryCases,
  ...depthwiseCases,
  ...lossCases,
  ...matrixCases,
  ...poolCases,
  ...repeatCases,
  ...relu6Cases,
  ...dropoutCases,
  ...updateCases,
  ...collectiveCases,
  ...windowCases,
  ...tableCases,
  ...ofMatrixUnits,
];

/** Without those of matrix units, which take a processor minutes; EVERY_CASE=1 keeps them. */
export const processorCases: readonly Case[] = process.env.EVERY_CASE ? cases : cases.slice(0, -ofMatrixUnits.length);
