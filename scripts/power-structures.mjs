// The structures that the power model is fitted to, and those that it is judged by: sets of kept partial products, as
// searches and designers leave them. Deterministic. A structure is { name, family, held, weightBits, activationBits,
// keep }, keep a string of 0 and 1 at i·activationBits + j.
// Held out are whole families (noisy staircases, what searches leave) and whole widths, in either order of the
// operands.

/** Widths that nothing is fitted to. */
const HELD_WIDTHS = ['7x5', '6x4', '5x5', '7x6', '4x3', '8x5', '3x7', '2x6', '2x3', '3x4', '5x6'];
const FITTED_WIDTHS = [
  '8x7',
  '7x7',
  '6x6',
  '8x6',
  '4x4',
  '8x4',
  '6x5',
  '5x4',
  '3x3',
  '5x3',
  '8x3',
  '5x2',
  '4x2',
  '2x4',
  '7x2',
  '3x5',
  '4x5',
  '7x4',
  '6x3',
  '2x2',
  '2x8',
];

/** Left by a search with a θ per partial product at 8×8: rows are weight bits, activation bit 0 on the left. */
const SEARCHED = ['........', '........', '........', '.....#..', '...#####', '..######', '.#######', '.#######'];

/** @param {(seed: number) => { integer: (below: number) => number }} randomOf a stream of random numbers per seed */
export function powerStructures(randomOf) {
  const all = [];
  const seen = new Set();
  const add = (family, name, [weightBits, activationBits], held, kept) => {
    const keep = Array.from({ length: weightBits * activationBits }, (_, at) =>
      kept(Math.floor(at / activationBits), at % activationBits) ? '1' : '0',
    ).join('');
    const key = `${weightBits}x${activationBits}:${keep}`;
    if (seen.has(key) || !keep.includes('1')) return;
    seen.add(key);
    all.push({ name: `${weightBits}x${activationBits} ${name}`, family, held, weightBits, activationBits, keep });
  };
  const widthsOf = (text) => text.split('x').map(Number);
  let seed = 0;
  /** Thresholds that fall with the weight bit: what is kept lies above them. */
  const staircase = ([n, m], random) => {
    const steps = Array.from({ length: n }, () => random.integer(m + 2) - 1).sort((a, b) => b - a);
    return steps.map((step) => Math.max(0, step));
  };
  const addStaircase = (widths, held) => {
    const steps = staircase(widths, randomOf(++seed));
    add('staircase', `staircase ${steps.join('')}`, widths, held, (i, j) => j >= steps[i]);
  };
  const addNoisy = (widths) => {
    const random = randomOf(++seed);
    const steps = staircase(widths, random);
    const flips = new Set(Array.from({ length: 2 + random.integer(5) }, () => random.integer(widths[0] * widths[1])));
    add('noisy staircase', `noisy ${seed}`, widths, true, (i, j) => j >= steps[i] !== flips.has(i * widths[1] + j));
  };
  const addRandom = (widths, tenths, held) => {
    const random = randomOf(++seed);
    const bits = Array.from({ length: widths[0] * widths[1] }, () => random.integer(10) < tenths);
    add('random', `random ${seed}`, widths, held, (i, j) => bits[i * widths[1] + j]);
  };
  const addBroken = (widths, held) => {
    const random = randomOf(++seed);
    const [rows, columns] = [random.integer(widths[1] >> 1), random.integer(widths[0] + widths[1] - 4)];
    add('rows and columns', `${rows} rows, ${columns} columns`, widths, held, (i, j) => j >= rows && i + j >= columns);
  };
  /**
   * What a greedy search leaves: operands of random bit probabilities; always without the product of the least mean
   * square error, about the mean, of what is removed, for the cells that it saves (1 for itself, and an adder where the
   * column has more).
   */
  const addSearched = ([n, m], share) => {
    const random = randomOf(++seed);
    const likely = Array.from({ length: n + m }, () => 1 + random.integer(6));
    const pairs = Array.from({ length: 256 }, () => likely.map((tenths) => random.integer(10) < tenths));
    const value = (at, bits) =>
      bits[Math.floor(at / m)] && bits[n + (at % m)] ? 2 ** (Math.floor(at / m) + (at % m)) : 0;
    const kept = new Set(Array.from({ length: n * m }, (_, at) => at));
    const error = pairs.map(() => 0);
    const spread = (errors) => {
      const mean = errors.reduce((sum, one) => sum + one, 0) / errors.length;
      return errors.reduce((sum, one) => sum + (one - mean) ** 2, 0);
    };
    while (kept.size > Math.max(2, Math.round(share * n * m))) {
      const column = (at) => Math.floor(at / m) + (at % m);
      const costs = [...kept].map((at) => {
        const others = [...kept].filter((other) => column(other) === column(at)).length;
        return [spread(error.map((one, k) => one + value(at, pairs[k]))) / (others > 1 ? 3 : 1), at];
      });
      const [, out] = costs.reduce((least, one) => (one[0] < least[0] ? one : least));
      kept.delete(out);
      pairs.forEach((bits, k) => {
        error[k] += value(out, bits);
      });
    }
    add('search', `searched ${seed}`, [n, m], true, (i, j) => kept.has(i * m + j));
  };
  const addColumns = (widths, columns, held) =>
    add('columns', `${columns} columns`, widths, held, (i, j) => i + j >= columns);

  const full = [8, 8];
  for (const columns of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]) addColumns(full, columns, false);
  for (let n = 0; n < 26; n++) addStaircase(full, false);
  for (let n = 0; n < 6; n++) addBroken(full, false);
  for (const tenths of [2, 3, 5, 7, 8, 9]) addRandom(full, tenths, false);
  add('search', 'searched', full, true, (i, j) => SEARCHED[i][j] === '#');
  for (let n = 0; n < 24; n++) addNoisy(full);
  for (const [list, held] of [
    [FITTED_WIDTHS, false],
    [HELD_WIDTHS, true],
  ]) {
    for (const widths of list.map(widthsOf)) {
      const size = widths[0] * widths[1];
      addColumns(widths, 0, held);
      if (size >= 9) addColumns(widths, Math.round((widths[0] + widths[1]) / 4), held);
      addStaircase(widths, held);
      if (size >= 12) addStaircase(widths, held);
      if (size >= 16) addBroken(widths, held);
      if (size >= 16) addRandom(widths, 7, held);
      if (size >= 24) addNoisy(widths);
      if (size >= 24) addStaircase(widths, held);
    }
  }
  // Small ones, where single gates count, and what searches leave of them and of large ones.
  for (const [list, held] of [
    [FITTED_WIDTHS, false],
    [HELD_WIDTHS, true],
  ]) {
    for (const widths of list.map(widthsOf)) {
      if (widths[0] * widths[1] > 20) continue;
      for (const tenths of [6, 8, 9]) addRandom(widths, tenths, held);
      addStaircase(widths, held);
    }
  }
  for (const widths of ['2x4', '3x4', '3x5', '4x4', '4x5', '5x5', '6x6'].map(widthsOf))
    for (const share of [0.55, 0.75, 0.9]) addSearched(widths, share);
  for (const widths of ['7x8', '8x8'].map(widthsOf))
    for (const share of [0.35, 0.45, 0.55, 0.7]) addSearched(widths, share);
  return all;
}
