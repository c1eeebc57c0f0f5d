// Fails when an import points up the list of folders in docs/architecture.md, sideways where that is not allowed, or in a circle of files.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

/** For each folder of src/, the folders that it may import beside itself. */
const allowed = {
  tensor: [],
  netlist: ['tensor'],
  hardware: ['netlist', 'tensor'],
  axm: ['netlist', 'tensor'],
  engine: ['tensor'],
  nn: ['engine', 'tensor'],
  quant: ['nn', 'engine', 'tensor'],
  data: ['tensor'],
  train: ['data', 'nn', 'quant', 'engine', 'tensor'],
  report: ['netlist', 'tensor'],
  workbench: ['netlist', 'hardware', 'report', 'tensor'],
  flow: ['train', 'data', 'nn', 'quant', 'engine', 'axm', 'workbench', 'netlist', 'hardware', 'report', 'tensor', ''],
  cli: [
    'flow',
    'train',
    'data',
    'nn',
    'quant',
    'engine',
    'axm',
    'workbench',
    'netlist',
    'hardware',
    'report',
    'tensor',
    '',
  ],
  // Files directly in src/.
  '': ['flow', 'train', 'data', 'nn', 'quant', 'engine', 'axm', 'workbench', 'netlist', 'hardware', 'report', 'tensor'],
};

const root = resolve('src');
const files = readdirSync(root, { recursive: true })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.includes('assembly'))
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
  const imports = [...text.matchAll(/^(?:import|export)\s+(type\s)?[^;]*?from\s+'(\.[^']+)'/gms)];
  const values = [];
  for (const [, type, target] of imports) {
    const to = resolve(dirname(file), target);
    const [from, into] = [folderOf(file), folderOf(to)];
    if (from !== into && !allowed[from]?.includes(into)) {
      problems.push(
        `${relative('.', file)} imports ${relative('.', to)}: ${from || 'src'}/ may not import ${into || 'src'}/`,
      );
    }
    if (!type) values.push(to);
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
