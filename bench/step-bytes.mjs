// What a training step of ResNet18 (images of 32×32, batch 256) moves and multiplies on a GPU, from its plan alone: per
// operation the bytes of its operands and results, each counted once a step, the bytes that it lays by for itself, and
// the products of its convolutions; and what both would take at the rates of an H100. No GPU is needed. The bounds are
// of steps one after the other, all from memory: what L2 still holds is faster, and small steps do not reach the rates.
//   npm run build && node bench/step-bytes.mjs [--operations 14]     how many of each stage are listed
import { randomDataset, root, stages, taskOf } from './cuda-setup.mjs';
import { optionsOf } from './options.mjs';

const { lowerOn } = await import(`${root}/engine/cuda/lower/lowerings.js`);
const { joinedSteps, lowerPlan, planFor } = await import(`${root}/engine/cuda/lower/program.js`);
const { byteSize, sizeOf } = await import(`${root}/tensor/tensor.js`);
const { trainingStep } = await import(`${root}/train/step.js`);

/** An H100: memory as element-wise kernels reach it (bench/operations.mjs), products of f16 on its matrix units. */
const BYTES_PER_SECOND = 2.95e12;
const PRODUCTS_PER_SECOND = 4.95e14;
const target = { multiprocessors: 132, sharedBytesPerBlock: 232_448, precision: 'tf32', warpgroups: true };
const { values } = optionsOf(import.meta.url, { options: { operations: { type: 'string', default: '14' } } });
const listed = Number(values.operations);
const BATCH = 256;

const task = taskOf('resnet18', randomDataset(64, 16, 32));
for (const { name, arithmetic, structure } of stages) {
  const training = {
    task,
    arithmetic,
    momentum: 0.9,
    weightDecay: 5e-4,
    batchNorm: 'device',
    ...(structure && { structure }),
  };
  const { graph } = trainingStep(training, { inputs: task.inputs }, BATCH, 1);
  const lower = lowerOn(target);
  const plan = planFor(graph, lower);
  const sums = new Map();
  const all = { steps: 0, bytes: 0, own: 0, products: 0 };
  for (const { node, inputs, outputs, workspace, prepared } of joinedSteps(plan, lower)) {
    const places = new Map([...node.inputs, ...node.outputs].map((value, at) => [[...inputs, ...outputs][at], value]));
    const one = {
      steps: 1,
      bytes: [...places.values()].reduce((sum, value) => sum + byteSize(value), 0),
      own: (workspace ? (lower(node).workspaceBytes ?? 0) : 0) + (prepared?.isNew ? lower(node).preparation.bytes : 0),
      products: productsOf(node),
    };
    const of = sums.get(node.op) ?? { steps: 0, bytes: 0, own: 0, products: 0 };
    for (const key of Object.keys(one)) {
      of[key] += one[key];
      all[key] += one[key];
    }
    sums.set(node.op, of);
  }
  console.log(`${name}: ${launchesOf(plan, lower)} launches`);
  console.log('    steps   operands   own     products   at the rates');
  const line = (title, { steps, bytes, own, products }) => {
    const ms = 1e3 * Math.max(bytes / BYTES_PER_SECOND, products / PRODUCTS_PER_SECOND);
    const columns = [
      `${steps}`.padStart(9),
      `${(bytes / 1e6).toFixed(0)} MB`.padStart(10),
      `${(own / 1e6).toFixed(0)} MB`.padStart(8),
    ];
    console.log(
      [...columns, `${(products / 1e9).toFixed(1)} G`.padStart(10), `${ms.toFixed(3)} ms`.padStart(10)].join(' '),
      ` ${title}`,
    );
    return ms;
  };
  const sorted = [...sums].sort(([, a], [, b]) => b.bytes - a.bytes);
  let bound = 0;
  for (const [at, [op, of]] of sorted.entries()) {
    if (at < listed) bound += line(op, of);
    else bound += 1e3 * Math.max(of.bytes / BYTES_PER_SECOND, of.products / PRODUCTS_PER_SECOND);
  }
  line(`in all; operations one after the other ${bound.toFixed(2)} ms`, all);
}

/** Products of a convolution or of one of its gradients; of the two gradients of a structure both. */
function productsOf({ op, inputs, outputs, attributes }) {
  const overWindow = (of, [kh, kw, c]) => sizeOf(of.shape) * kh * kw * c;
  switch (op) {
    case 'conv2d':
    case 'measuredConv2d':
    case 'axmConv2d':
      return overWindow(outputs[0], inputs[1].shape);
    case 'conv2dInputGradient':
      return overWindow(inputs[0], inputs[1].shape);
    case 'conv2dWeightGradient':
      return overWindow(inputs[1], attributes.weightShape);
    case 'weightGradientOfCodes':
      return overWindow(inputs[3], attributes.weightShape);
    case 'axmConv2dGradients':
      return 2 * overWindow(inputs[0], inputs[2].shape);
    default:
      return 0;
  }
}

/** Launches of the plan, on addresses that mean nothing. */
function launchesOf(plan, lower) {
  let next = 1n << 40n;
  const take = (bytes) => {
    const at = next;
    next += BigInt(Math.ceil(Math.max(1, bytes) / 256) * 256);
    return at;
  };
  const places = new Map();
  const addressOf = (storage) => {
    if (storage.region === 'arena') return (1n << 44n) + BigInt(storage.offset);
    if (storage.region === 'own') return (1n << 43n) + BigInt(storage.offset);
    const key = storage.name ?? storage.index;
    if (!places.has(key)) places.set(key, take(2 ** 28));
    return places.get(key);
  };
  const memory = { counters: (count) => take(4 * count), place: ({ byteLength }) => take(byteLength) };
  return lowerPlan(plan, addressOf, lower, memory).length;
}
