// Where the gates of a netlist stand in a drawing: in columns by the number of gates before them, inputs left, outputs
// right, and within a column so that neighbours lie at one height. Sweeps over the columns, each gate towards the mean
// of its neighbours (the barycentre heuristic of Sugiyama, Tagawa and Toda, IEEE TSMC 1981), heights under the order
// by pooling of adjacent violators, which moves a column the least in squares.
// Invariant: nodes of a column stand at least 1 apart; the same netlist is always drawn in the same way.
// Plain arithmetic without imports: a page does this for itself.

export interface LayeredNode {
  /** Numbers of nodes before it. */
  readonly fanins: readonly number[];
}

export interface Place {
  /** Whole, from 0. */
  readonly column: number;
  /** In heights of a node, from 0. */
  readonly row: number;
}

export interface Layered {
  readonly places: readonly Place[];
  readonly columns: number;
  readonly rows: number;
}

const SWEEPS = 16;

/**
 * Places of nodes in topological order. `last`: nodes without fanouts that stand in a column of their own behind all
 * others, in this order: the outputs.
 */
export function layered(nodes: readonly LayeredNode[], last: readonly number[] = []): Layered {
  const column = columnsOf(nodes, new Set(last));
  const members: number[][] = [];
  column.forEach((at, node) => {
    members[at] ??= [];
    members[at].push(node);
  });
  const ordered = Array.from(members, (some) => some ?? []);
  if (last.length > 0) ordered[ordered.length - 1] = [...last];
  const fanouts: number[][] = nodes.map(() => []);
  nodes.forEach(({ fanins }, node) => {
    for (const fanin of fanins) fanouts[fanin]!.push(node);
  });
  const row = new Float64Array(nodes.length);
  for (const some of ordered) {
    some.forEach((node, at) => {
      row[node] = at - some.length / 2;
    });
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    // From the outputs first: their order is the only one that is known to mean something.
    const backward = sweep % 2 === 0;
    for (let k = 0; k < ordered.length; k++) {
      const at = backward ? ordered.length - 1 - k : k;
      const fixed = last.length > 0 && at === ordered.length - 1;
      settle(ordered[at]!, row, (node) => (backward ? fanouts[node]! : nodes[node]!.fanins), fixed);
    }
  }
  const top = row.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const places = nodes.map((_, node) => ({ column: column[node]!, row: row[node]! - top }));
  const rows = places.reduce((most, place) => Math.max(most, place.row + 1), 0);
  return { places, columns: ordered.length, rows };
}

/** Inputs in the first column, everything else behind the last of its fanins; `last` behind all. */
function columnsOf(nodes: readonly LayeredNode[], last: ReadonlySet<number>): number[] {
  const column: number[] = [];
  for (const { fanins } of nodes) {
    column.push(fanins.reduce((most, fanin) => Math.max(most, column[fanin]! + 1), 0));
  }
  const behind = column.reduce((most, at, node) => (last.has(node) ? most : Math.max(most, at)), 0) + 1;
  return column.map((at, node) => (last.has(node) ? behind : at));
}

/** Brings a column to the mean heights of its neighbours, in their order unless it is fixed. */
function settle(
  nodes: number[],
  row: Float64Array,
  neighboursOf: (node: number) => readonly number[],
  fixed: boolean,
): void {
  const wanted = new Map<number, number>();
  for (const node of nodes) {
    const neighbours = neighboursOf(node);
    const sum = neighbours.reduce((total, other) => total + row[other]!, 0);
    wanted.set(node, neighbours.length === 0 ? row[node]! : sum / neighbours.length);
  }
  if (!fixed) nodes.sort((a, b) => wanted.get(a)! - wanted.get(b)! || row[a]! - row[b]! || a - b);
  const heights = spread(nodes.map((node) => wanted.get(node)!));
  nodes.forEach((node, at) => {
    row[node] = heights[at]!;
  });
}

/** The nearest heights, in squares, of which each is at least 1 below the one before it. */
export function spread(wanted: readonly number[]): number[] {
  // With the distance taken away, at least 1 apart is not falling.
  const blocks: { sum: number; count: number }[] = [];
  wanted.forEach((height, at) => {
    blocks.push({ sum: height - at, count: 1 });
    for (;;) {
      const [before, here] = blocks.slice(-2);
      if (!here || before!.sum / before!.count <= here.sum / here.count) return;
      blocks.splice(-2, 2, { sum: before!.sum + here.sum, count: before!.count + here.count });
    }
  });
  return blocks.flatMap(({ sum, count }) => Array<number>(count).fill(sum / count)).map((height, at) => height + at);
}
