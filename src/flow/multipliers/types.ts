// Layers that are to share few multipliers: which go together. Ward's method: beginning with one each, the two groups
// are put together whose θ then lose least, by the squared distance to their common centre, each θ counted by its part
// of the power and each layer by its weight. One tree gives the groups of every number.
// Invariant: the same layers give the same groups; at a tie those that come first go together.
// Source: J. H. Ward, Hierarchical grouping to optimize an objective function, JASA 1963.

/** A layer with its values of θ, and how much it counts, above 0. */
export interface Member {
  readonly name: string;
  readonly theta: readonly number[];
  readonly weight: number;
}

export interface Kind {
  readonly members: readonly Member[];
  /** Mean of the members' θ by their weights. */
  readonly centre: readonly number[];
  readonly weight: number;
}

/** `count` groups of layers, in the order of their first members; `costs`: of each θ. */
export function kindsOf(members: readonly Member[], costs: readonly number[], count: number): readonly Kind[] {
  let kinds: Kind[] = members.map((member) => ({ members: [member], centre: member.theta, weight: member.weight }));
  const order = new Map(members.map((member, at) => [member, at]));
  while (kinds.length > Math.max(1, count)) {
    const [a, b] = nearest(kinds, costs);
    const both = together(kinds[a]!, kinds[b]!, order);
    kinds = kinds.flatMap((kind, at) => (at === a ? [both] : at === b ? [] : [kind]));
  }
  return kinds;
}

/** Σ cost · (a − b)². */
export function distance(a: readonly number[], b: readonly number[], costs: readonly number[]): number {
  return costs.reduce((sum, cost, at) => sum + cost * (a[at]! - b[at]!) ** 2, 0);
}

/** Numbers of the two that lose least together, the smaller first. */
function nearest(kinds: readonly Kind[], costs: readonly number[]): readonly [number, number] {
  let best: readonly [number, number] = [0, 1];
  let least = Number.POSITIVE_INFINITY;
  kinds.forEach((a, at) => {
    for (let other = at + 1; other < kinds.length; other++) {
      const b = kinds[other]!;
      const lost = ((a.weight * b.weight) / (a.weight + b.weight)) * distance(a.centre, b.centre, costs);
      if (lost < least) [best, least] = [[at, other], lost];
    }
  });
  return best;
}

function together(a: Kind, b: Kind, order: ReadonlyMap<Member, number>): Kind {
  const members = [...a.members, ...b.members].sort((one, other) => order.get(one)! - order.get(other)!);
  return { members, centre: meanOf(members), weight: a.weight + b.weight };
}

/** Mean of the members' θ by their weights. */
export function meanOf(members: readonly Member[]): number[] {
  const total = members.reduce((sum, { weight }) => sum + weight, 0);
  return members[0]!.theta.map((_, at) =>
    members.reduce((sum, { theta, weight }) => sum + (weight / total) * theta[at]!, 0),
  );
}
