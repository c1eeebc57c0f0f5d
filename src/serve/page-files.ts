// Where the built page is: beside this program; a program that runs from its sources has it in dist/.

import { existsSync } from 'node:fs';

export const pageFolder: URL | undefined = [
  new URL('../page/', import.meta.url),
  new URL('../../dist/page/', import.meta.url),
].find((url) => existsSync(new URL('main.js', url)));
