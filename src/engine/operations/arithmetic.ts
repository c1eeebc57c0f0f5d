// Sums of operands that may be smaller than the result and are then repeated over it (graph/formula.ts).

import { formula } from './formula.ts';

/** a + b. */
export const sum = formula('sum', (a, b) => a.plus(b));

/** a + b + c. */
export const sumOfThree = formula('sum', (a, b, c) => a.plus(b).plus(c));
