// Two convolutions with batch norm and a classifier: a network for tests of what a run does around its network, in a
// small part of the time of the least model that the program has.

/** @type {import('tram-axm').ModelBuilder} */
export default (nn, image, classes) => {
  let x = nn.relu(nn.batchNorm('norm1', nn.conv('conv1', image, { out: 8, kernel: 3, padding: 1 })));
  x = nn.relu(nn.batchNorm('norm2', nn.conv('conv2', x, { out: 16, kernel: 3, stride: 2, padding: 1 })));
  return nn.linear('fc', nn.globalAveragePool(x), classes);
};
