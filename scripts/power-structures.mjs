// The structures that the power model is fitted to, and those that it is judged by: sets of kept partial products, as
// searches and designers leave them. Deterministic. A structure is { name, family, held, weightBits, activationBits,
// keep }, keep a string of 0 and 1 at i·activationBits + j.
// Held out are whole families (noisy staircases, the staircase of one search) and whole widths.

/** Widths that nothing is fitted to. */
const HELD_WIDTHS = ['7x5', '6x4', '5x5', '7x6', '4x3', '8x5', '3x7', '2x6'];
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
  '6x2',
  '4x2',
  '7x4',
  '6x3',
  '2x2',
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
  return all;
}
