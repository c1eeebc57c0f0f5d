// Fails when a line of a comment is longer than the code's lines may be, which the formatter does not mind.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const WIDTH = 120;
const COMMENT = /^\s*(\/\/|\/?\*)/;

const files = ['src', 'test', 'bench', 'scripts', 'examples'].flatMap((folder) =>
  readdirSync(folder, { recursive: true })
    .filter((name) => /\.(tsx?|mjs|cu|cuh)$/.test(name))
    .map((name) => join(folder, name)),
);
const problems = files.flatMap((file) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line, at) =>
      COMMENT.test(line) && /^\s*\*\(/.test(line) === false && [...line].length > WIDTH ? [`${file}:${at + 1}`] : [],
    ),
);
for (const problem of problems) console.error(`${problem}: a comment of more than ${WIDTH} characters`);
console.log(`${files.length} files, ${problems.length} comment lines too long`);
process.exit(problems.length > 0 ? 1 : 0);
