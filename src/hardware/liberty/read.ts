// Liberty texts as one library: files of one corner, of which some may have nothing for combinational circuits.
// Invariant: cells have names of their own over all files; what was left out is in the library's notes.

import { UserError } from '../../tensor/errors.ts';
import { clipped } from '../../tensor/names.ts';
import type { Cell, Library } from './library.ts';
import { LibraryReader } from './reader.ts';
import { parseGroups } from './syntax.ts';

export interface LibertyText {
  /** Names the source in messages. */
  readonly name: string;
  readonly text: string;
}

/** Reads one Liberty text. Throws a located UserError; a library without combinational cells is one. */
export function readLiberty(text: LibertyText): Library {
  const library = readCells(text);
  if (library.cells.size === 0) throw withoutCells(text.name, library);
  return library;
}

/** Reads a text that may have no combinational cells. */
function readCells({ name, text }: LibertyText): Library {
  const root = parseGroups(text, name);
  const reader = new LibraryReader(text, name, root);
  if (root.name !== 'library') reader.fail(root, `the group "${root.name}"`, 'library (name) { … }');
  return reader.library();
}

function withoutCells(name: string, { notes }: Library): UserError {
  const why = notes.length === 0 ? '' : ` (${notes.join('; ')})`;
  return new UserError(
    `${name}: a library without combinational cells${why}: expected at least one cell with a function`,
  );
}

const readTexts = new WeakMap<LibertyText, Library>();

/**
 * Reads several texts as one library; a text object that was read before is not read again. Texts without combinational
 * cells, such as those of flip-flops, are passed over with a note, as long as one has some. Throws a UserError.
 */
export function readLiberties(texts: readonly LibertyText[]): Library {
  if (texts.length === 0) throw new UserError('no Liberty text given: expected at least one library of cells');
  const all = texts.map((text) => {
    const library = readTexts.get(text) ?? readCells(text);
    readTexts.set(text, library);
    return { file: text.name, library };
  });
  const used = all.filter(({ library }) => library.cells.size > 0);
  if (used.length === 0) throw withoutCells(all[0]!.file, all[0]!.library);
  const reference = used.find(({ library }) => library.voltage !== null);
  const cells = new Map<string, Cell>();
  for (const { file, library } of used) {
    if (reference && library.voltage !== null && library.voltage !== reference.library.voltage) {
      throw new UserError(
        `${file} is characterised at ${library.voltage} V and ${reference.file} at ${reference.library.voltage} V: ` +
          'expected Liberty files of one corner',
      );
    }
    for (const [name, cell] of library.cells) {
      if (cells.has(name)) {
        throw new UserError(
          `cell "${clipped(name, 100)}" of ${file} is in an earlier file already: give each file once`,
        );
      }
      cells.set(name, cell);
    }
  }
  const empty = all.filter(({ library }) => library.cells.size === 0);
  return {
    name: used.map(({ library }) => library.name).join('+'),
    voltage: reference?.library.voltage ?? null,
    cells,
    skipped: all.flatMap(({ library }) => library.skipped),
    notes: [
      ...used.flatMap(({ library }) => library.notes),
      ...empty.map(({ file }) => `${file}: passed over, it has no combinational cells`),
    ],
  };
}
