// Fails when an import points up the list of folders in docs/architecture.md, sideways where that is not allowed, or in
// a circle of files.
// A test beside the source may import what its folder may, and helpers of test/; one that needs more belongs into
// test/.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

/** The folders that stand below some, with themselves. */
const below = (...tops) => [...new Set(tops.flatMap((top) => [top, ...allowed[top]]))];

/** For each folder of src/, the folders that it may import beside itself. */
const allowed = {
  tensor: [],
  multiplier: ['tensor'],
  netlist: ['multiplier', 'tensor'],
  hardware: ['netlist', 'multiplier', 'tensor'],
  engine: ['multiplier', 'tensor'],
  nn: ['onnx', 'engine', 'tensor'],
  quant: ['nn', 'engine', 'multiplier', 'tensor'],
  onnx: ['tensor'],
  data: ['tensor'],
  train: ['data', 'nn', 'quant', 'engine', 'multiplier', 'tensor'],
  integer: ['netlist', 'quant', 'nn', 'engine', 'multiplier', 'tensor'],
  export: ['integer', 'onnx', 'hardware', 'netlist', 'quant', 'nn', 'engine', 'multiplier', 'report', 'tensor'],
  report: ['netlist', 'multiplier', 'tensor'],
  logs: ['tensor'],
  workbench: ['netlist', 'hardware', 'report', 'multiplier', 'tensor'],
};
allowed.flow = [...below('workbench', 'export', 'train', 'data', 'logs'), ''];
// A page over folders of runs, live: what it computes is theirs to say. Its browser side takes what is plain data, and
// types of the addresses.
allowed.serve = [...below('flow'), ''];
allowed.page = ['report', 'multiplier', 'tensor'];
// Words for a person, and nothing that computes: what it does not say itself it has from these. Types it may take from
// anywhere below.
allowed.cli = ['flow', 'serve', 'workbench', 'report', 'tensor', ''];
const typesOnly = { cli: allowed.flow, page: ['serve'] };
// Files directly in src/.
allowed[''] = ['flow', ...below('workbench', 'export', 'train', 'data', 'logs')];

/**
 * The rooms of folders that have some, from the ground up; '' are the files beside them. Tests beside a file may look
 * up.
 */
const floors = {
  flow: [
    'settings',
    'host',
    'devices',
    'run',
    'multipliers',
    'start',
    'results',
    'logs',
    'phases',
    'try',
    'sensitivity',
    'doctor',
    '',
    'sweep',
  ],
  'engine/cuda': ['kernels', 'lower', 'runtime'],
  'engine/wasm': ['kernels', 'lower', 'runtime'],
};

const root = resolve('src');
const helpers = resolve('test');
const files = readdirSync(root, { recursive: true })
  .filter((name) => /\.tsx?$/.test(name) && !name.includes('wasm/kernels'))
  .map((name) => join(root, name));
const folderOf = (file) => {
  const parts = relative(root, file).split('/');
  return parts.length > 1 ? parts[0] : '';
};

const problems = [];
const graph = new Map();
for (const file of files) {
  const text = readFileSync(file, 'utf8');
  // Types may be imported in a circle within a folder: they vanish. Values may not.
  const imports = [
    ...text.matchAll(/^(?:import|export)\s+(type\s)?[^;]*?from\s+'(\.[^']+)'/gms),
    ...text.matchAll(/\b(?:(typeof)\s+|)import\('(\.[^']+)'\)/g),
  ];
  const values = [];
  for (const [words, type, target] of imports) {
    const to = resolve(dirname(file), target);
    if (file.endsWith('.test.ts') && to.startsWith(`${helpers}/`)) continue;
    const [from, into] = [folderOf(file), folderOf(to)];
    const may = [...(allowed[from] ?? []), ...((type && typesOnly[from]) || [])];
    if (from !== into && !may.includes(into)) {
      problems.push(
        `${relative('.', file)} imports ${relative('.', to)}: ${from || 'src'}/ may not import ${!type && typesOnly[from] ? 'values of ' : ''}${into || 'src'}/`,
      );
    }
    for (const [folder, rooms] of Object.entries(floors)) {
      const [room, wanted] = [file, to].map((path) => {
        const inside = relative(join(root, folder), path).split('/');
        return inside[0] === '..' ? undefined : inside.length > 1 ? inside[0] : '';
      });
      if (room === undefined || wanted === undefined || file.endsWith('.test.ts')) continue;
      if (rooms.indexOf(wanted) > rooms.indexOf(room)) {
        problems.push(`${relative('.', file)} imports ${relative('.', to)}: ${folder}/${wanted} stands above ${room}`);
      }
    }
    // What is imported while it runs is no part of a circle of modules.
    if (!type && !words.includes('import(')) values.push(to);
  }
  graph.set(file, values);
}

const done = new Set();
function visit(file, path) {
  if (path.includes(file)) {
    problems.push(
      `a circle: ${[...path.slice(path.indexOf(file)), file].map((name) => relative(root, name)).join(' → ')}`,
    );
    return;
  }
  if (done.has(file)) return;
  for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
  done.add(file);
}
for (const file of files) visit(file, []);

for (const problem of problems) console.error(problem);
console.log(`${files.length} files, ${problems.length} imports against the architecture`);
process.exit(problems.length > 0 ? 1 : 0);
