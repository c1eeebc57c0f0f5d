// A network of your own for the command line: what this file exports is trained, quantised, explored and mapped like
// any of the program's models.
//   tram run --model examples/own-model.mjs
// `nn` is the layer library; `image` is [N, height, width, channels]. Names are those of the tensors in checkpoints.

/** @type {import('tram-axm').ModelBuilder} */
export default (nn, image, classes) => {
  let x = unit(nn, 'stem', image, { out: 16, kernel: 3, padding: 1 });
  x = nn.block('block1', () => separable(nn, 'block1', x, 32, 1));
  x = nn.block('block2', () => separable(nn, 'block2', x, 64, 2));
  return nn.linear('head', nn.globalAveragePool(x), classes);
};

/**
 * A convolution, batch norm and an activation.
 * @param {import('tram-axm').Layers} nn
 * @param {string} name
 * @param {import('tram-axm').Value} x
 * @param {import('tram-axm').ConvSpec} spec
 */
function unit(nn, name, x, spec) {
  return nn.relu(nn.batchNorm(`${name}.norm`, nn.conv(`${name}.conv`, x, spec)));
}

/**
 * Each channel filtered by itself, then all mixed at each pixel.
 * @param {import('tram-axm').Layers} nn
 * @param {string} name
 * @param {import('tram-axm').Value} x
 * @param {number} out
 * @param {number} stride
 */
function separable(nn, name, x, out, stride) {
  const channels = x.shape[3] ?? 0;
  const filtered = unit(nn, `${name}.depthwise`, x, { out: channels, kernel: 3, stride, padding: 1, groups: channels });
  return unit(nn, `${name}.pointwise`, filtered, { out, kernel: 1 });
}
