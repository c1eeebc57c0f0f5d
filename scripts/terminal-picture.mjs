// A picture of what a program writes to a terminal: text with its colours on standard input, a PNG as the file named.
// So docs/images/run.png is made, from a terminal of 112 columns:
//   tmux new-session -d -s run -x 112 -y 90 'npx tram run; sleep 1000'
//   tmux capture-pane -ept run | node scripts/terminal-picture.mjs docs/images/run.png 'npx tram run'
// Beside it docs/images/dots.svg and theta.svg are multiplier-dots.svg and theta.svg of the same run's figures.
import { readFileSync, writeFileSync } from 'node:fs';
import { Resvg } from '@resvg/resvg-js';

const SIZE = 14;
const [ADVANCE, LEADING, MARGIN] = [0.602 * SIZE, 1.3 * SIZE, 22];
const colours = {
  ground: '#0b0e14',
  ink: '#e6e6e6',
  dim: '#858b98',
  31: '#ff7b72',
  32: '#5fd75f',
  33: '#e3b341',
  36: '#56d4dd',
};

const [out, command] = process.argv.slice(2);
if (!out) throw new Error('usage: … | node scripts/terminal-picture.mjs FILE.png [COMMAND]');
const prompt = command === undefined ? [] : [`\x1b[2m$\x1b[0m ${command}`];
const lines = [...prompt, ...readFileSync(0, 'utf8').trimEnd().split('\n')];

const plain = { bold: false, dim: false, colour: undefined };

/** The style after a sequence of the codes of ECMA-48 that the program uses. */
function styled(style, codes) {
  let next = style;
  for (const code of codes.split(';').map(Number)) {
    if (code === 0) next = plain;
    else if (code === 1) next = { ...next, bold: true };
    else if (code === 2) next = { ...next, dim: true };
    else if (code === 22) next = { ...next, bold: false, dim: false };
    else if (code === 39) next = { ...next, colour: undefined };
    else if (code in colours) next = { ...next, colour: colours[code] };
  }
  return next;
}

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
let style = plain;
let columns = 0;
const texts = lines.flatMap((line, row) => {
  let column = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what colours are made of
  return line.split(/\x1b\[([\d;]*)m/).flatMap((part, at) => {
    if (at % 2 === 1) {
      style = styled(style, part);
      return [];
    }
    const x = MARGIN + column * ADVANCE;
    column += [...part].length;
    columns = Math.max(columns, column);
    if (part.trim() === '') return [];
    const fill = style.colour ?? (style.dim ? colours.dim : colours.ink);
    const weight = style.bold ? ' font-weight="bold"' : '';
    const place = `x="${x.toFixed(2)}" y="${(MARGIN + (row + 0.8) * LEADING).toFixed(2)}"`;
    return [`<text ${place} fill="${fill}"${weight} xml:space="preserve">${escaped(part)}</text>`];
  });
});

const [width, height] = [2 * MARGIN + columns * ADVANCE, 2 * MARGIN + lines.length * LEADING];
const svg = [
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="DejaVu Sans Mono, monospace" font-size="${SIZE}">`,
  `<rect width="100%" height="100%" fill="${colours.ground}"/>`,
  ...texts,
  '</svg>',
].join('\n');
writeFileSync(out, new Resvg(svg, { fitTo: { mode: 'zoom', value: 1.5 } }).render().asPng());
