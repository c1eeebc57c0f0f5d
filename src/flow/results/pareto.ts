// Several runs in one picture: accuracy over the measure that most of them have, with the exact multiplier of each
// width beside them.

import { exactPower } from '../../multiplier/power.ts';
import { cheapestExact } from '../../netlist/exact-cost.ts';
import { type ParetoPoint, paretoSvg } from '../../report/pareto.ts';
import { type ComparedRun, commonMeasure, type Measure } from './compare.ts';

export interface ComparedPicture {
  readonly measure: Measure;
  /** Labels of the runs that have no place on this axis. */
  readonly missing: readonly string[];
  readonly svg: string;
}

/** The picture of the runs. */
export async function comparedPicture(runs: readonly ComparedRun[]): Promise<ComparedPicture> {
  const measure = commonMeasure(runs);
  const missing = runs.filter((run) => run[measure] === undefined).map(({ label }) => label);
  return { measure, missing, svg: await paretoSvg(pointsOf(runs, measure), axisTitles[measure]) };
}

const axisTitles: Record<Measure, string> = {
  power: 'Power, analytic model of θ (exact 8×8 array = 1)',
  gateCost: 'Gate cost of the netlist (cheapest exact 8×8 multiplier = 1)',
};

/** Points on one axis; the exact multiplier stands where its widths place it. */
function pointsOf(runs: readonly ComparedRun[], measure: Measure): ParetoPoint[] {
  const widths = (run: ComparedRun) => `${run.weightBits}×${run.activationBits}`;
  const exact = new Map<string, ParetoPoint>();
  for (const run of runs) {
    const quantized = run.stages.find(({ stage }) => stage === 'quantized');
    const before = exact.get(widths(run));
    if (!quantized || (before && before.accuracy >= quantized.accuracy)) continue;
    const { weightBits, activationBits } = run;
    const power =
      measure === 'power' ? exactPower(weightBits, activationBits) : cheapestExact(weightBits, activationBits).gateCost;
    exact.set(widths(run), {
      label: `exact ${widths(run)}`,
      group: 'exact multiplier',
      accuracy: quantized.accuracy,
      power,
    });
  }
  const points = runs.flatMap((run) => {
    const result = run[measure];
    const power = measure === 'power' ? run.power?.power : run.gateCost?.gateCost;
    if (!result || power === undefined) return [];
    const group = run.multiplier === undefined ? 'trained structure' : 'given multiplier';
    return [{ label: run.label, group, accuracy: result.accuracy, power }];
  });
  return [...exact.values(), ...points];
}
