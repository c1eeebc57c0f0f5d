// The one table of settings as people meet them: name, configuration paths, the phase it belongs to, and what it is
// for. Command lines, their help and the command reference are made from it (cli/settings.ts), and a form can be
// (fields.ts); valid values and defaults come from the configuration's schema. Invariant (tested): every key of the
// schema has at least one setting.

import { sources } from '../../data/registry.ts';
import { parseTransforms, transformForms } from '../../data/transforms.ts';
import { cheapestExact } from '../../netlist/exact-cost.ts';
import { selectorForms } from './layers.ts';
import type { Phase } from './phases.ts';
import { type Course, goodTraining, usualCourse } from './training.ts';
import { decimalNumber, nameList, perOperand, wholeNumber } from './values.ts';

export type SettingPhase = Exclude<Phase, 'report'>;

export interface Setting {
  /** Its name among the settings of its phase; as an option it has two dashes before it. */
  readonly name: string;
  /** Configuration paths that it sets, all to its value unless `parse` says otherwise. */
  readonly paths: readonly string[];
  /** The phase that it is for. */
  readonly phase: SettingPhase;
  readonly group: string;
  readonly help: string;
  /** What the value is called in a help text; a switch has none and sets `value`. */
  readonly placeholder?: string;
  readonly value?: boolean;
  /** Whether among all settings the phase's name stands before it, because other phases have one of that name. */
  readonly prefixed?: boolean;
  /** The text that the option means where it stands alone. */
  readonly alone?: string;
  /** For values that do not stand alone: one value per path, or undefined. */
  readonly parse?: (text: string) => readonly unknown[] | undefined;
  /** Whether it can also be said once for all phases that have one of the name, by that name alone. */
  readonly together?: boolean;
  /** Whether its list goes on with what another setting of the same path says, instead of taking its place. */
  readonly adds?: boolean;
  /** What a value must be, where the schema alone cannot say it well. */
  readonly expected?: string;
  /** Shown in place of the schema's default. */
  readonly defaultText?: string;
}

/** The group of the settings that say what the data are. */
export const dataGroup = 'Data set';

const trainingPhases = {
  train: 'Float training',
  quantize: 'Quantisation',
  explore: 'Exploration',
  recover: 'Recovery',
} as const;

function trainingSettings(phase: keyof typeof trainingPhases): Setting[] {
  const shared = { phase, group: trainingPhases[phase], prefixed: true };
  const setting = (name: string, key: string, placeholder: string, help: string): Setting => ({
    ...shared,
    name,
    paths: [`${phase}.${key}`],
    placeholder,
    help,
  });
  const epochs =
    phase === 'quantize'
      ? 'epochs of quantisation-aware training; 0: post-training quantisation only'
      : 'passes over the training images';
  // A network that brings its weights is taken as it is.
  const without = phase === 'train' ? { defaultText: '30, or 0 with an ONNX file' } : {};
  return [
    { ...setting('epochs', 'epochs', 'N', epochs), ...without },
    setting('batch-size', 'batchSize', 'N', 'images per step'),
    {
      ...setting('learning-rate', 'learningRate', 'RATE', 'learning rate of the weights'),
      ...courseText(phase, 'rate'),
    },
    setting('momentum', 'momentum', 'M', 'momentum of SGD; β₁ of Adam'),
    setting('weight-decay', 'weightDecay', 'D', 'weight decay of the weights'),
    {
      ...setting('schedule', 'schedule', 'NAME', 'course of the learning rate over the epochs'),
      ...courseText(phase, 'schedule'),
    },
    setting('optimizer', 'optimizer', 'NAME', 'rule by which the weights learn'),
    setting('beta2', 'beta2', 'B', 'β₂ of Adam'),
    setting(
      'decay-of',
      'decayOf',
      'NAME',
      'what decays: all that learns, or the weights of layers that multiply alone',
    ),
    {
      ...setting('rates', 'rates', 'A=F,B=F', 'parts of the learning rate for weights by name'),
      parse: listOfNames,
      expected: 'PATTERN=FACTOR separated by commas, * for any characters; the last that matches counts',
      defaultText: 'none',
    },
    {
      ...setting('clip-gradient', 'clipGradient', 'NORM', 'longest gradient of all weights together'),
      defaultText: 'none',
    },
    {
      ...setting('milestones', 'milestones', 'A,B', 'epochs from which the rate is smaller, for the schedule step'),
      parse: listOfNumbers,
      expected: 'numbers of epochs separated by commas',
      defaultText: 'none',
    },
    setting('schedule-factor', 'scheduleFactor', 'F', 'the rate behind a milestone over that before it'),
    setting('warmup', 'warmup', 'EPOCHS', 'epochs of linear warm-up before the schedule'),
    setting('warmup-steps', 'warmupSteps', 'N', 'steps of warm-up in addition'),
    setting('final-rate', 'finalRate', 'SHARE', 'share of the learning rate that a cosine falls towards'),
    setting('label-smoothing', 'labelSmoothing', 'E', "share of a target that all classes have of the label's"),
    {
      ...setting(
        'last-batch',
        'lastBatch',
        'NAME',
        'the images left for the last step of an epoch: filled up to a batch, or short as published',
      ),
      together: true,
    },
    setting('average', 'average', 'DECAY', 'decay of the moving average of the weights that is kept; 0: none'),
    {
      ...setting('augment', 'augment', 'LIST', 'changes of training images'),
      parse: (text) => ('wrong' in parseTransforms(text) ? undefined : [text]),
      expected: transformForms,
      defaultText: 'what suits the data set',
    },
  ];
}

/** Defaults of rate and schedule in words, where they are those of the optimiser. */
function courseText(phase: keyof typeof trainingPhases, what: 'rate' | 'schedule'): Pick<Setting, 'defaultText'> {
  if (phase === 'train') return {};
  const text = ({ learningRate, schedule }: Course) => String(what === 'rate' ? learningRate : schedule);
  const [own, other] = [goodTraining[phase].optimizer, 'sgd' as const].map((one) => text(usualCourse(phase, one)));
  return { defaultText: `${own}; with another optimiser ${other}` };
}

/** What a phase that can learn from a teacher has. */
function teacherSettings(phase: 'quantize' | 'explore' | 'recover'): Setting[] {
  const setting = (name: string, key: string, placeholder: string, help: string): Setting => ({
    ...{ phase, group: trainingPhases[phase], prefixed: true, together: true },
    ...{ name, paths: [`${phase}.${key}`], placeholder, help },
  });
  return [
    setting(
      'teacher',
      'teacher',
      'NAME',
      'network of the run to learn from beside the labels (distillation); usual: the float one, else the quantised one',
    ),
    setting('teacher-weight', 'teacherWeight', 'A', "the teacher's part of the loss; the labels have the rest"),
    setting(
      'temperature',
      'temperature',
      'T',
      "what the logits are divided by before teacher's and student's are compared",
    ),
  ];
}

function startSetting(phase: Exclude<keyof typeof trainingPhases, 'train'>, help: string): Setting {
  const shared = { phase, group: trainingPhases[phase], prefixed: true };
  return { ...shared, name: 'start', paths: [`${phase}.start`], placeholder: 'LIST', help };
}

function codesSetting(of: { readonly phase: 'explore' | 'map'; readonly group: string }): Setting {
  return {
    ...{ ...of, prefixed: true, together: true, name: 'weight-codes', paths: [`${of.phase}.weightCodes`] },
    placeholder: 'NAME',
    help: "what weights are stored as: the nearest code, or the one whose row of the multiplier is nearest to the weight's multiples",
  };
}

/** One value for a path that takes a list. */
function listOfNames(text: string): readonly unknown[] | undefined {
  const names = nameList(text);
  return names && [names];
}

function firstAndLast(text: string): readonly unknown[] | undefined {
  if (text === 'none') return [[]];
  return perOperand(text) && [[`first=${text}`, `last=${text}`]];
}

/** A gate cost, or widths whose exact multiplier has it. */
function costOfLayers(text: string): readonly unknown[] | undefined {
  const cost = decimalNumber(text);
  if (cost !== undefined && cost <= 1) return [cost];
  const [weights = 0, activations = 0] = perOperand(text) ?? [];
  const isWide = [weights, activations].every((bits) => Number.isInteger(bits) && bits >= 2 && bits <= 8);
  return isWide ? [cheapestExact(weights, activations).gateCost] : undefined;
}

/** Numbers separated by commas; 'none' is the empty list. */
function listOfNumbers(text: string): readonly unknown[] | undefined {
  const numbers = nameList(text)?.map(decimalNumber);
  return numbers && !numbers.includes(undefined) ? [numbers] : undefined;
}

const explore = { phase: 'explore', group: trainingPhases.explore } as const;
const quantize = { phase: 'quantize', group: trainingPhases.quantize } as const;
const recover = { phase: 'recover', group: trainingPhases.recover } as const;
const rivals = { phase: 'rivals', group: 'Rivals' } as const;
const run = { phase: 'train', group: 'Run' } as const;
const data = { phase: 'train', group: dataGroup } as const;
const network = { phase: 'train', group: 'Network' } as const;

export const settings: readonly Setting[] = [
  {
    ...run,
    name: 'recipe',
    paths: ['recipe'],
    placeholder: 'NAME',
    help: 'settings to begin with; all other options win over them',
    defaultText: 'none',
  },
  { ...run, name: 'seed', paths: ['seed'], placeholder: 'N', help: 'seed of everything that is drawn at random' },
  {
    ...run,
    name: 'sync-batch-norm',
    paths: ['syncBatchNorm'],
    value: true,
    help: 'on several devices: batch norm trains with the statistics of the whole batch, not with those of the images of each device',
    defaultText: 'no',
  },
  {
    ...data,
    name: 'data',
    paths: ['data'],
    placeholder: 'DATA',
    help: 'data set, or a path that holds one',
    expected: sources.map(({ usage }) => usage).join(', '),
  },
  {
    ...data,
    name: 'image',
    paths: ['image'],
    placeholder: 'HxWxC',
    help: 'size of an image, for csv data and image files',
    expected: 'HEIGHTxWIDTHxCHANNELS, for example 28x28x1',
    defaultText:
      'what the files say: a square of one channel, or the size of the image files; 224x224x3 for files of several',
  },
  {
    ...data,
    name: 'maximum',
    paths: ['maximum'],
    placeholder: 'N',
    help: 'raw value that means 1.0, for csv data',
    defaultText: '255',
  },
  {
    ...data,
    name: 'label',
    paths: ['label'],
    placeholder: 'COLUMN',
    help: 'column of the label, for csv data; fine or coarse, for cifar100',
    expected: 'its name in the header, its number from 1, first or last; fine or coarse',
    defaultText: 'the one called label, class, target or y, else the last',
  },
  {
    ...data,
    name: 'test-data',
    paths: ['testData'],
    placeholder: 'FILE',
    help: 'file or folder with the test images, for csv, npz and image files',
    expected: 'the path of data of the same form',
    defaultText: 'what the data say, else a fifth of each class is held back',
  },
  {
    ...data,
    name: 'classes',
    paths: ['classes'],
    placeholder: 'N',
    help: 'number of classes, for csv, idx and npz data that do not show all of them',
    defaultText: 'one more than the largest label',
  },
  {
    ...data,
    name: 'split',
    paths: ['split'],
    placeholder: 'NAME',
    help: 'which set of a folder that holds several, for idx data (EMNIST: letters, digits, …)',
    expected: 'the name of a set, as in the names of its files',
    defaultText: 'the only one',
  },
  {
    ...data,
    name: 'test-labels',
    paths: ['testLabels'],
    placeholder: 'FILE',
    help: 'classes of test images that lie in one folder, for image files: name and class on each line',
    expected: 'the path of a file',
    defaultText: 'the file that ImageNet or TinyImageNet have for it',
  },
  {
    ...data,
    name: 'classes-of',
    paths: ['classesOf'],
    placeholder: 'CLASSES',
    help: 'the classes that are kept',
    expected: 'names or numbers with commas between them, a file with one on each line, or how many of the first',
    defaultText: 'all',
  },
  {
    ...data,
    name: 'sample',
    paths: ['sample'],
    placeholder: 'N',
    help: 'training images that are kept, the same share of each class',
    defaultText: 'all',
  },
  {
    ...data,
    name: 'sample-seed',
    paths: ['sampleSeed'],
    placeholder: 'N',
    help: 'draws the images that --sample keeps',
    defaultText: '0',
  },
  {
    ...data,
    name: 'sample-list',
    paths: ['sampleList'],
    placeholder: 'FILE',
    help: 'the training images that are kept: a path on each line, for others than image files a number',
    expected: 'the path of a file',
    defaultText: 'all',
  },
  {
    ...data,
    name: 'resize',
    paths: ['resize'],
    placeholder: 'N',
    help: 'shorter side in pixels before the centre is cut out, for image files',
    defaultText: '256 for images of 224, and in that proportion',
  },
  {
    ...data,
    name: 'bad-images',
    paths: ['badImages'],
    placeholder: 'WHAT',
    help: 'what becomes of image files that cannot be decoded',
    defaultText: 'refuse',
  },
  {
    ...data,
    name: 'image-cache',
    paths: ['imageCache'],
    placeholder: 'DIR',
    help: 'folder where decoded images are kept, so that a large set is decoded once',
    expected: 'the path of a folder',
    defaultText: 'none',
  },
  {
    ...data,
    name: 'mean',
    paths: ['mean'],
    placeholder: 'LIST',
    help: 'mean of each channel, subtracted from the values, which are from 0 to 1',
    parse: listOfNumbers,
    expected: 'a number for each channel with commas between them, or one for all',
    defaultText: 'measured on the training images',
  },
  {
    ...data,
    name: 'std',
    paths: ['deviation'],
    placeholder: 'LIST',
    help: 'standard deviation of each channel, by which they are then divided',
    parse: listOfNumbers,
    expected: 'a number above 0 for each channel with commas between them, or one for all',
    defaultText: 'measured on the training images',
  },
  {
    ...network,
    name: 'model',
    paths: ['model'],
    placeholder: 'MODEL',
    help: 'network to train',
    expected: 'a name that tram models lists, or the path of a file of your own: .mjs, or .onnx with its weights',
  },
  {
    ...network,
    name: 'checkpoint',
    paths: ['train.checkpoint'],
    placeholder: 'FILE',
    help: 'network to start from instead of training one: .pth, .pt or safetensors with PyTorch names',
    expected: 'the path of a .pth, .pt or .safetensors file',
  },
  {
    ...network,
    name: 'checkpoint-key',
    paths: ['train.checkpointKey'],
    placeholder: 'KEY',
    help: 'dictionary of the checkpoint to take, such as state_dict_ema (tram inspect lists them)',
    expected: 'the name of a dictionary',
    defaultText: 'the one that fits',
  },
  {
    ...network,
    name: 'new-classifier',
    paths: ['train.newClassifier'],
    value: true,
    help: 'begin the classifier anew, for other classes than the checkpoint’s or the ONNX file’s, and train from there',
    defaultText: 'no',
  },
  ...trainingSettings('train'),
  {
    ...quantize,
    name: 'bits',
    paths: ['bits.weights', 'bits.activations'],
    placeholder: 'B',
    help: 'operand widths: one number for both, or WxA for weights × activations',
    parse: perOperand,
    expected: '2 to 8, or 4x8 (or w4a8) for 4-bit weights and 8-bit activations',
  },
  {
    ...quantize,
    name: 'weight-bits',
    paths: ['bits.weights'],
    placeholder: 'N',
    help: 'operand width of the weights alone',
  },
  {
    ...quantize,
    name: 'activation-bits',
    paths: ['bits.activations'],
    placeholder: 'N',
    help: 'operand width of the activations alone',
  },
  {
    ...quantize,
    name: 'layer-bits',
    paths: ['quantize.layerBits'],
    placeholder: 'A=B,…',
    help: 'layers of other operand widths, which keep an exact multiplier of them: first=8,*.fc2=8x6',
    parse: listOfNames,
    expected: 'LAYERS=BITS separated by commas, for example first=8,*.fc2=8x6',
    defaultText: 'none',
  },
  {
    ...quantize,
    name: 'first-last-bits',
    paths: ['quantize.layerBits'],
    placeholder: 'B',
    help: 'operand widths of the first and the last layer: as first=B,last=B at the end of --layer-bits',
    parse: firstAndLast,
    adds: true,
    expected: '2 to 8, 8x6 for weights × activations, or none',
    defaultText: 'those of the others',
  },
  {
    ...quantize,
    name: 'layer-widths',
    paths: ['quantize.layerCost'],
    placeholder: 'COST',
    help: 'widths of each layer, searched so that exact multipliers of them have this gate cost on average (exact 8×8 = 1) and layers lose least; with --multiplier exact, or a structure for each width',
    parse: costOfLayers,
    expected: 'a number above 0 up to 1, or widths such as 3x4 for the cost of their exact multiplier',
    defaultText: 'none: --bits for all layers',
  },
  {
    ...quantize,
    name: 'layer-kinds',
    paths: ['quantize.layerKinds'],
    placeholder: 'K',
    help: 'most different widths that --layer-widths chooses, so that K multipliers serve all layers',
    defaultText: 'as many as there are layers',
  },
  {
    ...quantize,
    name: 'channelwise',
    paths: ['channelwise'],
    value: true,
    help: 'one weight scale per output channel',
    defaultText: 'yes',
  },
  { ...quantize, name: 'per-tensor', paths: ['channelwise'], value: false, help: 'one weight scale per layer' },
  {
    ...quantize,
    name: 'calibration-images',
    paths: ['quantize.images'],
    placeholder: 'N',
    help: 'training images that calibrate the scales',
  },
  {
    ...quantize,
    name: 'quantizer',
    paths: ['quantize.quantizer'],
    placeholder: 'NAME',
    help: 'what quantisers learn in training: the sizes of their steps, or factors of the observed ranges (as published)',
  },
  {
    ...quantize,
    name: 'step-rate',
    paths: ['quantize.stepRate'],
    placeholder: 'F',
    help: 'part of the learning rate for the sizes of steps',
  },
  {
    ...quantize,
    name: 'weight-zero',
    paths: ['quantize.weightZero'],
    placeholder: 'NAME',
    help: 'where weights have their 0 with the quantizer steps: in the middle of the codes, one below (2 bits: −1 to 2), whichever of these errs less (code), or between the two (±½, ±1½)',
  },
  {
    ...quantize,
    name: 'range',
    paths: ['quantize.range'],
    placeholder: 'NAME',
    help: 'range that the quantisers observe: the extremes and 0, or the extremes alone (as published)',
  },
  {
    ...quantize,
    name: 'observer',
    paths: ['quantize.observer'],
    placeholder: 'NAME',
    help: 'how the ranges of activations are chosen from what calibration sees',
  },
  {
    ...quantize,
    name: 'weight-observer',
    paths: ['quantize.weightObserver'],
    placeholder: 'NAME',
    help: 'how the ranges of weights are chosen',
  },
  {
    ...quantize,
    name: 'percentile',
    paths: ['quantize.percentile'],
    placeholder: 'P',
    help: 'share of the values inside the range, in percent, for the observer percentile',
  },
  {
    ...quantize,
    name: 'fold-batch-norm',
    paths: ['quantize.foldBatchNorm'],
    value: true,
    help: 'folds each batch norm into the layer before it, where nothing lies between',
    defaultText: 'no',
  },
  startSetting(
    'quantize',
    "what is done before quantisation-aware training, or instead of it: batch norm's statistics estimated anew",
  ),
  ...trainingSettings('quantize'),
  ...teacherSettings('quantize'),
  {
    ...explore,
    name: 'approximate',
    paths: ['approximate'],
    placeholder: 'A,B',
    help: "layers that run on the approximate multiplier; usual: what the model's card says, else the convolutions, in transformers the linear layers but the last",
    parse: listOfNames,
    expected: selectorForms,
    defaultText: 'usual',
  },
  {
    ...explore,
    name: 'exact-layers',
    paths: ['exactLayers'],
    placeholder: 'A,B',
    help: 'layers that keep the exact multiplier all the same; none for no layer',
    parse: listOfNames,
    expected: selectorForms,
    defaultText: 'none',
  },
  {
    ...explore,
    name: 'lambda',
    paths: ['explore.lambda'],
    placeholder: 'λ',
    help: 'weight of the power loss: more saves more power and costs more accuracy; --power and --max-loss find it',
    defaultText: 'found for --power; with a θ per column 0.3',
  },
  {
    ...explore,
    name: 'power',
    paths: ['explore.power'],
    placeholder: 'POWER',
    help: 'target instead of λ: modelled power, relative to the exact 8×8 multiplier, that θ ends at or below',
    defaultText:
      '0.6 of what exact multipliers of the widths have; none with --lambda, --max-loss, --layer-widths or a θ per column',
  },
  {
    ...explore,
    name: 'max-loss',
    paths: ['explore.maxLoss'],
    placeholder: 'POINTS',
    help: 'target instead of λ: points of accuracy that may be lost against the quantised network, as training images tell',
    defaultText: 'none',
  },
  {
    ...explore,
    name: 'columns',
    paths: ['explore.columns'],
    placeholder: 'P',
    help: 'how many of the lowest columns of partial products may be approximated',
    defaultText: "all; with a θ per column the wider operand's bits",
  },
  {
    ...explore,
    name: 'initially-removed',
    paths: ['explore.initiallyRemoved'],
    placeholder: 'N',
    help: 'columns that are removed at the start (θ = 1)',
    defaultText: '0; with a θ per column half of --columns',
  },
  {
    ...explore,
    name: 'structure',
    paths: ['explore.structure'],
    placeholder: 'NAME',
    help: 'one multiplier for all layers, or one for each',
    defaultText: 'shared; with --types per-layer',
  },
  {
    ...explore,
    name: 'types',
    paths: ['explore.types'],
    placeholder: 'K',
    alone: 'all',
    help: 'multipliers that the layers end with, put together while training; alone or all: one each, and a table of what fewer cost',
    parse: (text) => [text === 'all' ? 0 : wholeNumber(text)],
    expected: 'a whole number of at least 1, or all (0)',
    defaultText: 'as --structure says',
  },
  {
    ...explore,
    name: 'structure-grain',
    paths: ['explore.grain'],
    placeholder: 'NAME',
    help: 'what each θ is of: a single partial product, or a column of them (as published)',
  },
  {
    ...explore,
    name: 'harden',
    paths: ['explore.harden'],
    placeholder: 'SHARE',
    help: 'last share of the epochs, in which every θ becomes 0 or 1 and the weights adapt to that; 0: none, as published',
    defaultText: '0.2; with a θ per column and λ 0',
  },
  {
    ...explore,
    name: 'power-model',
    paths: ['explore.powerModel'],
    placeholder: 'NAME',
    help: 'modelled power, which the loss counts: the published sum over θ, or fitted to synthesis with the built-in cells or ASAP7',
  },
  {
    ...explore,
    name: 'theta-learning-rate',
    paths: ['explore.thetaLearningRate'],
    placeholder: 'RATE',
    help: 'learning rate of θ',
  },
  {
    ...explore,
    name: 'theta-weight-decay',
    paths: ['explore.thetaWeightDecay'],
    placeholder: 'D',
    help: 'weight decay of θ',
  },
  codesSetting(explore),
  startSetting(
    'explore',
    "what is done under the first θ before training: its mean error into the biases, batch norm's statistics anew",
  ),
  {
    ...explore,
    name: 'constants',
    paths: ['explore.constants'],
    placeholder: 'NAME',
    help: 'follow: where a bias and no batch norm follows a layer, it moves with the mean of what θ takes away; leave: it learns alone, as published',
  },
  ...trainingSettings('explore'),
  ...teacherSettings('explore'),
  {
    phase: 'map',
    group: 'Mapping',
    name: 'search',
    paths: ['map.search'],
    placeholder: 'NAME',
    help: 'search for nets to replace; exact: only what θ of 0 and 1 keep',
    defaultText: 'exact; without --harden, or with a cost, descent',
  },
  {
    phase: 'map',
    group: 'Mapping',
    name: 'operands',
    paths: ['map.operands'],
    placeholder: 'NAME',
    help: 'operands that the descent takes the error over: all alike, or as often as the layers multiply them',
  },
  {
    phase: 'map',
    group: 'Mapping',
    name: 'cost-budget',
    paths: ['map.costBudget'],
    placeholder: 'COST',
    help: 'largest gate cost relative to the exact multiplier, for the descent',
    defaultText: 'what greedy reaches; with --cost-weight none',
  },
  {
    phase: 'map',
    group: 'Mapping',
    name: 'cost-weight',
    paths: ['map.costWeight'],
    placeholder: 'W',
    help: 'makes the descent minimise MSE + W · gate cost, the cost relative to the exact multiplier',
    defaultText: '0',
  },
  {
    phase: 'map',
    group: 'Mapping',
    name: 'error-bound',
    paths: ['map.errorBound'],
    placeholder: 'SHARE',
    help: 'lets the search exact save gates while the error over the measured operands grows by this share at most',
    defaultText: 'no gate is changed',
  },
  {
    phase: 'map',
    group: 'Mapping',
    name: 'multiplier',
    paths: ['map.multiplier'],
    placeholder: 'FILE',
    help: 'a multiplier to use instead of mapping θ: BLIF, Verilog, a table in any form, a generator, or exact: for each layer the exact one of its widths (exact:4x5: in a run of these)',
    expected: 'a file, a generator such as dadda:8x8, exact, or exact:WxA',
  },
  {
    phase: 'map',
    group: 'Mapping',
    name: 'signed',
    paths: ['map.signed'],
    value: true,
    help: "the multiplier given is signed (two's complement)",
  },
  {
    phase: 'map',
    group: 'Mapping',
    name: 'operand-order',
    paths: ['map.operandOrder'],
    placeholder: 'ORDER',
    help: 'which operand of the multiplier given is the first: the first bus of a netlist, the row of a table',
    defaultText: 'what its file says; else activation-weight for published text, weight-activation for the rest',
  },
  {
    phase: 'map',
    group: 'Mapping',
    name: 'table-order',
    paths: ['map.tableOrder'],
    placeholder: 'NAME',
    help: 'order of the rows of a signed table that do not name their operands: by bit pattern or by value',
    defaultText: 'patterns, or an error where values fit better',
  },
  {
    phase: 'map',
    group: 'Mapping',
    name: 'top',
    paths: ['map.top'],
    placeholder: 'NAME',
    help: 'module or model of the netlist given that is the multiplier',
    expected: 'a name in the file',
    defaultText: 'the only one that no other instantiates',
  },
  {
    phase: 'map',
    group: 'Mapping',
    name: 'liberty',
    paths: ['map.liberty'],
    placeholder: 'A,B',
    help: 'Liberty libraries of the cells that the netlist given instantiates',
    parse: listOfNames,
    expected: '.lib or .lib.gz files separated by commas',
    defaultText: 'the cells of tram synth without a library',
  },
  codesSetting({ phase: 'map', group: 'Mapping' }),
  {
    phase: 'map',
    group: 'Mapping',
    name: 'zero-product',
    paths: ['map.zeroProduct'],
    placeholder: 'NAME',
    help: "what is taken off for the weights' zero point under a given multiplier: its exact product, or what the multiplier makes of it, by one more output channel",
  },
  startSetting(
    'recover',
    "what is done under the multiplier before training: its mean error into the biases, batch norm's statistics anew",
  ),
  ...trainingSettings('recover'),
  ...teacherSettings('recover'),
  {
    ...recover,
    name: 'gradient',
    paths: ['recover.gradient'],
    placeholder: 'NAME',
    help: "slope of a product: of the exact one, of differences of the multiplier's smoothed table, or of its rows",
  },
  {
    ...recover,
    name: 'smoothing',
    paths: ['recover.smoothing.weights', 'recover.smoothing.activations'],
    placeholder: 'H',
    help: 'half size of the window that smooths the table, for the gradient difference',
    parse: perOperand,
    expected: '0 to 127 codes, or 16x4 along weights × activations',
    defaultText: "a sixteenth of the operand's codes, 16 of 8 bits",
  },
  {
    ...rivals,
    name: 'rivals',
    paths: ['rivals'],
    placeholder: 'NAME',
    help: 'exact multipliers of fewer bits to measure beside the run’s own: after post-training quantisation, or retrained as in recovery, too',
    alone: 'post-training',
  },
];
