// Widths for layers under a limit of cost: one choice for every layer, so that the harm of all together is the least
// that the limit allows. A multiple-choice knapsack, solved by dynamic programming over the cost, which is counted in
// small steps of the limit. Harms are taken to add up, as in every search that treats one layer at a time.
// Invariants: the mean cost of what is chosen is never above the limit; no other choice has less harm at a mean cost
// below the limit by what rounding up took, one step for each layer at most.
// Source: Kellerer, Pferschy and Pisinger, Knapsack Problems, 11.5; for widths Dong et al., HAWQ-V2, arXiv 1911.03852.

/** What a layer may become; the same choice has the same number in all layers. */
export interface Choice {
  /** Of one multiplication. */
  readonly cost: number;
  /** What it does to the network by itself, at least 0. */
  readonly harm: number;
}

export interface Chooser {
  /** Its part of the multiplications of all of them. */
  readonly share: number;
  readonly choices: readonly Choice[];
}

const STEPS = { fine: 40_000, coarse: 4000 } as const;

/** For each layer the number of its choice; undefined where even the cheapest are above the limit. */
export function allocate(
  layers: readonly Chooser[],
  limit: number,
  steps: number = STEPS.fine,
): readonly number[] | undefined {
  const cheapest = layers.map(({ choices }) => indexOfLeast(choices.map(({ cost }) => cost)));
  if (costOf(layers, cheapest) > limit) return undefined;
  const options = layers.map(({ share, choices }) => counted(choices, (share * steps) / limit));
  // least[c]: the least harm of the layers so far at a cost of c steps at most.
  let least = new Float64Array(steps + 1);
  const taken = options.map((own) => {
    const next = new Float64Array(steps + 1).fill(Number.POSITIVE_INFINITY);
    const by = new Uint8Array(steps + 1);
    for (const [at, { cost, harm }] of own.entries()) {
      for (let c = cost; c <= steps; c++) {
        const sum = least[c - cost]! + harm;
        if (sum >= next[c]!) continue;
        next[c] = sum;
        by[c] = at;
      }
    }
    least = next;
    return by;
  });
  // The limit is so near to the cheapest that rounding up goes past it.
  if (least[steps] === Number.POSITIVE_INFINITY) return cheapest;
  let left = steps;
  return options
    .map((own, layer) => ({ own, by: taken[layer]! }))
    .toReversed()
    .map(({ own, by }) => {
      const { index, cost } = own[by[left]!]!;
      left -= cost;
      return index;
    })
    .toReversed();
}

/**
 * The same with at most `kinds` different choices in the network: of those that are chosen without that limit the one
 * goes, time and again, that is missed least; then choices are exchanged for others as long as that helps.
 */
export function allocateKinds(layers: readonly Chooser[], limit: number, kinds: number): readonly number[] | undefined {
  const free = allocate(layers, limit);
  if (!free || new Set(free).size <= kinds) return free;
  const cheapest = indexOfLeast(layers[0]!.choices.map(({ cost }) => cost));
  const among = (subset: readonly number[], steps: number) => {
    const limited = layers.map(({ share, choices }) => ({ share, choices: subset.map((at) => choices[at]!) }));
    return allocate(limited, limit, steps)?.map((at) => subset[at]!);
  };
  const harmAmong = (subset: readonly number[]) => {
    const chosen = among(subset, STEPS.coarse);
    return chosen ? harmOf(layers, chosen) : Number.POSITIVE_INFINITY;
  };
  const least = (subsets: readonly (readonly number[])[]) => {
    const harms = subsets.map(harmAmong);
    const at = indexOfLeast(harms);
    return { subset: subsets[at]!, harm: harms[at]! };
  };
  // With the cheapest there is always an answer.
  let best: { subset: readonly number[]; harm: number } = { subset: [...new Set([...free, cheapest])], harm: 0 };
  while (best.subset.length > kinds) best = least(best.subset.map((gone) => best.subset.filter((at) => at !== gone)));
  const all = layers[0]!.choices.map((_, at) => at);
  for (;;) {
    const others = all.filter((at) => !best.subset.includes(at));
    const next = least(best.subset.flatMap((_, k) => others.map((other) => best.subset.with(k, other))));
    if (next.harm >= best.harm) break;
    best = next;
  }
  return among(best.subset, STEPS.fine);
}

/** Mean cost of a multiplication with these choices. */
export function costOf(layers: readonly Chooser[], chosen: readonly number[]): number {
  return layers.reduce((sum, { share, choices }, at) => sum + share * choices[chosen[at]!]!.cost, 0);
}

/** Harm of these choices together. */
export function harmOf(layers: readonly Chooser[], chosen: readonly number[]): number {
  return layers.reduce((sum, { choices }, at) => sum + choices[chosen[at]!]!.harm, 0);
}

/** Choices with their costs in steps, rounded up, without those that another one is no worse than in both. */
function counted(choices: readonly Choice[], steps: number) {
  return choices
    .map(({ cost, harm }, index) => ({ index, cost: Math.ceil(cost * steps), exact: cost, harm }))
    .toSorted((a, b) => a.exact - b.exact || a.harm - b.harm)
    .filter((one, at, sorted) => sorted.slice(0, at).every(({ harm }) => harm > one.harm));
}

/** The first of the least. */
function indexOfLeast(values: readonly number[]): number {
  return values.reduce((least, value, at) => (value < values[least]! ? at : least), 0);
}
