// Faults of one line each that the tests must notice (scripts/mutants.mjs applies them). Each is a plausible slip whose result would look
// right: the program runs and its figures are wrong. `from` stands exactly once in its file.

const fault = (file, title, from, to) => ({ file, title, from, to });

export const mutants = [
  fault(
    'src/data/batches.ts',
    'every batch of an epoch is augmented alike',
    'new Random(seed, streams.augmentation, epoch, step)',
    'new Random(seed, streams.augmentation, epoch)',
  ),
  fault(
    'src/data/batches.ts',
    'every epoch has the same order',
    'new Random(seed, streams.order, epoch)',
    'new Random(seed, streams.order)',
  ),
  fault(
    'src/flow/multipliers.ts',
    'the power term forgets the layers’ multiplications',
    '(macsOf(group) / macs) * (cost / total)',
    '(cost / total) / structures.size',
  ),
  fault(
    'src/flow/phases/explore.ts',
    'θ decays as the weights do',
    'weightDecay: settings.thetaWeightDecay',
    'weightDecay: settings.weightDecay',
  ),
  fault(
    'src/flow/phases/explore.ts',
    'θ learns at the rate of the weights',
    'learningRate: settings.thetaLearningRate',
    'learningRate: settings.learningRate',
  ),
  fault('src/train/step.ts', 'λ is always 0.3', '{ alpha: 1, beta: lambda }', '{ alpha: 1, beta: 0.3 }'),
  fault(
    'src/train/optimizer.ts',
    'cosine runs an epoch ahead',
    '(Math.PI * epoch) / epochs',
    '(Math.PI * (epoch + 1)) / epochs',
  ),
  fault(
    'src/train/evaluation.ts',
    'accuracy counts the padding of the last batch',
    'hits / split.count',
    'hits / (split.count + 1)',
  ),
  fault(
    'src/flow/phases/training.ts',
    'recovery’s epochs are numbered from 0',
    '(sum, name) => sum + configuration[name].epochs',
    '(sum, name) => sum + 0 * configuration[name].epochs',
  ),
  fault(
    'src/axm/power.ts',
    'the last carries are not counted',
    'add(long + 1, short - 2, CELL_COST.fullAdder)',
    'add(long + 1, 0, CELL_COST.fullAdder)',
  ),
  fault(
    'src/quant/quantized.ts',
    'activation ranges move by 0.3',
    'const RANGE_MOMENTUM = 0.1',
    'const RANGE_MOMENTUM = 0.3',
  ),
  fault('src/quant/quantized.ts', 'the clip search minimises the mean distance', 'exponent: 2.4', 'exponent: 1'),
  fault('src/nn/layers.ts', 'the running variance is biased', 'momentum * unbiased', 'momentum'),
  fault(
    'src/nn/layers.ts',
    'weights start at half their deviation',
    'Math.sqrt(2 / (kernel',
    'Math.sqrt(0.5 / (kernel',
  ),
  fault(
    'src/engine/gradients.ts',
    'a value that is used twice has the gradient of its last use',
    'sum ? graph.apply1(',
    'false && sum ? graph.apply1(',
  ),
  fault(
    'src/engine/plan.ts',
    'a buffer is overwritten in place although a later node reads it',
    'lastUse.get(over) === at',
    'lastUse.get(over)! >= at',
  ),
  fault('src/axm/slopes.ts', 'central differences are taken over one code too few', '(4 * half + 2)', '(4 * half + 4)'),
  fault(
    'src/flow/operands.ts',
    'weights are counted as if no tap met padding',
    'const times = rows[ky]! * columns[kx]!;',
    'const times = 1;',
  ),
  fault(
    'src/quant/quantized.ts',
    'evaluation clips by the latest range instead of what is stored',
    "if (mode === 'evaluate') return quantize(storedScale, storedZero);",
    "if (mode === 'evaluate' && operand === 'weight') return quantize(storedScale, storedZero);",
  ),
  fault(
    'src/netlist/metrics.ts',
    'NMED is relative to the number of pairs',
    '/ 2 ** productBits,',
    '/ (2 ** productBits - 1),',
  ),
  fault(
    'src/netlist/metrics.ts',
    'the mean error loses its sign',
    'signed += share * error;',
    'signed += share * magnitude;',
  ),
  fault(
    'src/netlist/certify.ts',
    'the Verilog text that was given is not what is read back',
    'readVerilog(verilog, {',
    'readVerilog(writeVerilog(network), {',
  ),
  fault('src/hardware/timing.ts', 'any edge causes any edge', "sense !== 'none' && ", "false && sense !== 'none' && "),
  fault('src/hardware/power.ts', 'switching energy is CV²', '(voltage * voltage) / 2', 'voltage * voltage'),
  fault(
    'src/netlist/mapping/errors.ts',
    'a product may leave its range',
    'if (product < this.lowest || product > this.highest)',
    'if (product < this.lowest)',
  ),
  fault(
    'src/flow/context.ts',
    'an imported multiplier is measured on the explored checkpoint',
    "phasesOf(configuration).includes('explore')",
    "phasesOf(configuration).includes('report')",
  ),
  fault(
    'src/flow/manifest.ts',
    'exact layers do not decide whether a phase is done',
    'explore: ({ exactLayers, explore }) => ({ exactLayers, explore })',
    'explore: ({ explore }) => ({ explore })',
  ),
  fault('src/flow/checkpoint.ts', 'a resume point of another phase is taken', 'point.phase !== expected.phase || ', ''),
  fault(
    'src/data/dataset.ts',
    'the hash of the data leaves out the test images',
    'train.labels, test.images, test.labels',
    'train.labels, test.labels',
  ),
  fault(
    'src/tensor/safetensors.ts',
    'tensors are laid over each other',
    'offset += data.byteLength;',
    'offset += data.byteLength - 4;',
  ),
  fault(
    'src/netlist/formats/text.ts',
    'a text that does not say its order is turned round all the same',
    'const turned = said !== undefined && order',
    'const turned = order',
  ),
  fault(
    'src/flow/phases/recover.ts',
    'recovery starts from the quantised checkpoint',
    '...networkToMap(configuration)',
    "'quantize', files.quantized",
  ),
];
