// How the tops of layers are driven, for people who have the exported files and not this program: the contract of
// interface.ts with the numbers of each layer.
// Invariant: lengths and border classes are those that the Verilog was made for (streamLengths, borderClasses).

import type { IntegerNetwork, ProductOperation } from '../../integer/network.ts';
import { borderClasses, CONSTANT_KINDS, type LayerTop, streamLengths } from './interface.ts';

/** A page of Markdown. */
export function streamsMarkdown(network: IntegerNetwork, tops: readonly LayerTop[]): string {
  const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  return `# Streams of the layers

How \`layer_NAME\` is driven. Numbers come from the form integer of the same network (\`tram export --to integer\`): its
\`network.json\` names for each operation the files of its arrays. A top computes one product and the requantisation of
its sums; their places in the list \`operations\` stand in the first table.

One clock; \`rst\` is synchronous, active high. A beat passes on a rising edge of \`clk\` at which valid and ready are both 1.
Valid does not wait for ready, and data stay as they are while valid waits. Any stream may stall at any time, and each
can be served by itself.

## Order
R rows of the array take taps, C columns outputs. Outputs of a group are done in tiles of C, taps in tiles of R,
positions in blocks.

    for each group, for each tile of outputs:      c: constants of its C outputs
      for each block of positions:
        for each tile of taps:                     w: R beats;  x: a beat for each position of the block
        for each position, for each output:        y: a beat; none for columns beyond the group's last output

Then the next image begins, with the constants of the first tile again: nothing has to be started or cleared.

- Taps: t = (ky·KW + kx)·I + i with I input channels of a group, the order of the array \`weights\` [KH, KW, I, O].
- Outputs: o = g·(outputs of a group) + m·C + c, group g, tile m, column c.
- Positions: row by row. Of a linear layer its vectors, in their order.

## Data
| port | a beat |
|---|---|
| \`w_data\` | stored codes of a row as bit patterns, column 0 in the lowest bits. A tile comes LAST ROW FIRST: beat j has tap k·R + R − 1 − j of tile k. Any value where there is no tap or no output |
| \`x_data\` | codes of R taps at a position as bit patterns, row 0 (the tile's first tap) in the lowest bits. Any value where \`x_taps\` is 0 |
| \`x_taps\` | bit r is 1 where row r is a tap that exists and lies in the image; 0 for padding and beyond the last tap |
| \`x_class\` | number of the position's border class (below), the same in all tiles of taps |
| \`c_data\` | int32 words: for each kind the C outputs of the tile, column 0 first; any value beyond the last output |
| \`y_data\` | the results of the requantisation, in the output's bits |
| \`y_last\` | 1 with the last result of an image |

Kinds of constants, in this order: 0 \`bias\`, 1 \`multiplier\`, 2 \`shift\`, 3 \`offset\` of the requantisation; 4 the product's
\`weightZero\`, or 1 where it has a \`zeroRow\`; ${CONSTANT_KINDS} + n what the activations' zero point adds in border class n,

    −activationZero · Σ (step·weights[t, o] − weightZero[o])   over the taps that lie in the image there

An array of one element holds for all outputs.

## Layers
| top | operations: product, requantise | groups | taps | outputs | positions | block | w beats | x beats | c beats | y beats |
|---|---|---|---|---|---|---|---|---|---|---|
${tops
  .map((top) => {
    const { weights, activations, constants, results } = streamLengths(top);
    return row([
      ...[`\`${top.module}\``, `${top.product}, ${top.requantise}`, top.groups, top.taps, top.outputs],
      ...[top.positions, top.block, weights, activations, constants, results],
    ]);
  })
  .join('\n')}

Taps and outputs are those of a group; beats are those of an image.

## Border classes
Positions at which the same taps of the window lie in the image are a class; classes are numbered as they first appear.
The rows of a window stand one after another, 1 for a tap in the image.

| top | windows of class 0, 1, … |
|---|---|
${tops.map((top) => row([`\`${top.module}\``, windows(network, top).join(', ')])).join('\n')}
`;
}

/** Of each class the taps of its window, as rows of digits. */
function windows(network: IntegerNetwork, top: LayerTop): string[] {
  const product = network.operations[top.product] as ProductOperation;
  const [input, output] = [network.tensors[product.inputs[0]!]!, network.tensors[product.output]!];
  const width = product.layerKind === 'linear' ? 1 : product.weightShape[1]!;
  return borderClasses(product, input.shape, output.shape).valid.map((taps) =>
    Array.from({ length: taps.length / width }, (_, y) => taps.subarray(y * width, (y + 1) * width).join('')).join(' '),
  );
}
