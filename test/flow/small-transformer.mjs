// A vision transformer for digits, without any batch norm: patches of 2×2, 32 channels, two blocks with two
// heads.
const WIDTH = 32;
const HEADS = 2;
const DEPTH = 2;

/** @type {import('tram-axm').ModelBuilder} */
export default (nn, image, classes) => {
  const [n, h, w] = image.shape;
  const tokens = (h * w) / 4;
  const linear = (name, x, out) => nn.linear(name, x, out, { deviation: 0.02 });
  const patches = nn.conv('patches', image, { out: WIDTH, kernel: 2, stride: 2, bias: true });
  let x = nn.add(nn.reshape(patches, [n, tokens, WIDTH]), nn.parameter('positions', [1, tokens, WIDTH]));
  for (let block = 0; block < DEPTH; block++) {
    const label = `blocks.${block}`;
    const qkv = linear(`${label}.qkv`, nn.layerNorm(`${label}.norm1`, x, 1e-6), 3 * WIDTH);
    const [q, k, v] = nn.splitHeads(qkv, 3, HEADS);
    const scores = nn.matrixProduct(q, k, 'second', 1 / Math.sqrt(WIDTH / HEADS));
    const mixed = nn.matrixProduct(nn.softmax(scores), v);
    const joined = nn.reshape(nn.permute(mixed, [0, 2, 1, 3]), [n, tokens, WIDTH]);
    x = nn.add(x, linear(`${label}.proj`, joined, WIDTH));
    const hidden = nn.gelu(linear(`${label}.fc1`, nn.layerNorm(`${label}.norm2`, x, 1e-6), 4 * WIDTH));
    x = nn.add(x, linear(`${label}.fc2`, hidden, WIDTH));
  }
  return nn.linear('head', nn.mean(nn.layerNorm('norm', x, 1e-6), 1), classes);
};
