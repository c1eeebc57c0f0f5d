// In which lane beside the list of a network's nodes an edge runs that skips some of them: short ones near the nodes,
// and no two in one lane over the same rows. Pure.

export interface Edge {
  readonly from: number;
  readonly to: number;
  /** 0: straight down to the next node; from 1 on: a lane beside the nodes. */
  readonly lane: number;
}

export function lanesOf(nodes: readonly { readonly from: readonly number[] }[]): Edge[] {
  const edges = nodes.flatMap(({ from }, to) => from.map((one) => ({ from: one, to })));
  const skipping = edges
    .filter(({ from, to }) => to - from > 1)
    .toSorted((a, b) => a.to - a.from - (b.to - b.from) || a.from - b.from);
  const lanes: { readonly from: number; readonly to: number }[][] = [];
  const laneOf = new Map<string, number>();
  for (const edge of skipping) {
    // Edges may meet at a node, where one ends and another begins.
    const isFree = (lane: typeof skipping) => lane.every(({ from, to }) => to <= edge.from || edge.to <= from);
    let lane = lanes.findIndex(isFree);
    if (lane < 0) lane = lanes.push([]) - 1;
    lanes[lane]!.push(edge);
    laneOf.set(`${edge.from} ${edge.to}`, lane + 1);
  }
  return edges.map(({ from, to }) => ({ from, to, lane: laneOf.get(`${from} ${to}`) ?? 0 }));
}
