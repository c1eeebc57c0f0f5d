// The settings of a run as a caller of the library writes them, documented. Everything may be left out; `config.ts` has
// the schema that checks them and fills in the defaults, and a test that the two name the same keys with the same
// types.

import type { RecipeName } from './recipes.ts';
import type { Start } from './starts.ts';

/**
 * How a phase trains: by one of PyTorch's optimisers, the learning rate following a schedule over the phase.
 */
export interface TrainingSettings {
  /** Passes over the training images, at least 1. */
  epochs?: number | undefined;
  /** Images per step; default 64 (256 in the published program). */
  batchSize?: number | undefined;
  /** Of weights, biases, batch norm and clip factors, at the start of the phase; above 0. */
  learningRate?: number | undefined;
  /** 0 … below 1; default 0.9. */
  momentum?: number | undefined;
  /** Default 5e-4. */
  weightDecay?: number | undefined;
  schedule?: 'constant' | 'cosine' | 'cosine-steps' | 'step' | 'one-cycle' | undefined;
  /** Stochastic gradient descent, plain (default of float training) or with Nesterov's momentum, Adam, or AdamW. */
  optimizer?: 'sgd' | 'nesterov' | 'adam' | 'adamw' | undefined;
  /** β₂ of Adam, whose β₁ is the momentum: 0 … below 1; default 0.999. */
  beta2?: number | undefined;
  /** What decays: all that learns (default), or the weights of convolutions and linear layers alone. */
  decayOf?: 'all' | 'weights' | undefined;
  /** `PATTERN=FACTOR`: parts of the learning rate for weights by name, the last that matches; default none. */
  rates?: string[] | undefined;
  /** The norm that the gradient of all weights together is clipped to, above 0; default: it is not. */
  clipGradient?: number | undefined;
  /** Of the schedule step: the epochs from which the rate is smaller by the factor. */
  milestones?: number[] | undefined;
  /** That factor, above 0 and up to 1; default 0.1. */
  scheduleFactor?: number | undefined;
  /** Epochs of linear warm-up before the schedule, also in part; default 0. */
  warmup?: number | undefined;
  /** Steps of warm-up in addition; default 0. */
  warmupSteps?: number | undefined;
  /** Share of the rate that a cosine falls towards, 0 … 1; default 0. */
  finalRate?: number | undefined;
  /** What the target of all classes together takes from that of the label, 0 … below 1; default 0. */
  labelSmoothing?: number | undefined;
  /** Decay of the moving average of weights and statistics that is evaluated and kept; default 0: no average. */
  average?: number | undefined;
  /**
   * What becomes of the images that are left for the last step of an epoch where they are fewer than a batch: filled up
   * with the first ones of the epoch (default), or a short batch, as published.
   */
  lastBatch?: 'filled' | 'short' | undefined;
  /** Changes of training images, `crop:4,flip`; default: those that suit the data set. */
  augment?: string | undefined;
}

/** How a phase trains that can also learn from a finished network of the run (Hinton et al., 2015). */
export interface TaughtSettings<T extends string = 'usual' | 'none' | 'float' | 'quantized'> extends TrainingSettings {
  /**
   * The network that says how probable each class is: the float one, or the quantised one with exact multipliers.
   * Default `usual`: the float one; where the run began with a quantised network and has none, the quantised one behind
   * phase 0 and none in it.
   */
  teacher?: T | undefined;
  /** a in (1 − a)·cross-entropy + a·T²·KL(teacher ‖ student), which is minimised: above 0, to 1; default 0.9. */
  teacherWeight?: number | undefined;
  /** T, by which both networks' logits are divided: 0.1 … 100; default 2. */
  temperature?: number | undefined;
}

/** What differs from the defaults. Options of the command line have the same names: `explore.lambda` is `--lambda`. */
export interface ConfigurationInput {
  /** Settings to begin with, by the name of a recipe (recipes.ts); whatever else is said wins over them. */
  recipe?: RecipeName | undefined;
  /**
   * Data set: `digits` (default, shipped), `cifar10:DIR`, `cifar100:DIR`, `csv:FILE`, `idx:DIR`, `npz:FILE`,
   * `images:DIR`, `procedural:HxWxC,classes=N`, or a path.
   */
  data?: string | undefined;
  /** csv, images: size of an image as HEIGHTxWIDTHxCHANNELS; default: what the files say, else 224x224x3. */
  image?: string | undefined;
  /** csv: the raw value that means 1.0, 1 … 255; default 255. */
  maximum?: number | undefined;
  /**
   * csv: the column of the label: its name in the header, its number from 1, `first` or `last`; cifar100: `fine`
   * (default) or `coarse`.
   */
  label?: string | undefined;
  /** csv, npz, images: a file or folder of test images; default: what the data say, else a fifth of each class. */
  testData?: string | undefined;
  /** csv, idx, npz: number of classes, 2 … 1 000 000, where the files do not show all of them. */
  classes?: number | undefined;
  /** idx: which set of a folder that holds several, such as `letters`. */
  split?: string | undefined;
  /** images: a file that says the classes of test images that lie in one folder. */
  testLabels?: string | undefined;
  /** The classes that are kept: names or numbers with commas between them, a file of them, or how many of the first. */
  classesOf?: string | undefined;
  /** How many training images are kept, the same share of each class. */
  sample?: number | undefined;
  /** Which ones, 0 … 2³² − 1; default 0. */
  sampleSeed?: number | undefined;
  /** A file that lists the training images that are kept, a path (or a number) on each line. */
  sampleList?: string | undefined;
  /** images: shorter side in pixels before the centre is cut out, 1 … 4096; default: 256 for 224. */
  resize?: number | undefined;
  /** images: what becomes of files that cannot be decoded; default `refuse`. */
  badImages?: 'refuse' | 'skip' | undefined;
  /** images: a folder where decoded images are kept, so that a large set is decoded once. */
  imageCache?: string | undefined;
  /** Subtracted from raw / scale, one number for each channel or one for all; default: measured. */
  mean?: number[] | undefined;
  /** What that is divided by, above 0; default: measured. */
  deviation?: number[] | undefined;
  /** Name of a model: `resnet8` (default), `resnet18`, …; or the path of a file of one's own, .mjs or .onnx. */
  model?: string | undefined;
  /** Of everything that is drawn at random: 0 … 2³² − 1; default 1. */
  seed?: number | undefined;
  /** Operand widths, 2 … 8 each; default 8. */
  bits?: { weights?: number | undefined; activations?: number | undefined } | undefined;
  /** One weight scale per output channel (default) or per layer. */
  channelwise?: boolean | undefined;
  /**
   * On several devices: batch norm trains with the statistics of the whole batch, whatever their number; default: with
   * those of the images that each device has.
   */
  syncBatchNorm?: boolean | undefined;
  /**
   * Layers that run on the approximate multiplier: names, patterns of them (`*`: any characters), or `all`,
   * `convolutions`, `linear-layers`, `first`, `last`, `usual`. Default `usual`: what the model's card says, else as in
   * the paper the convolutions of a convolutional network, and the linear layers of a transformer but for its last.
   */
  approximate?: string[] | undefined;
  /** Layers that keep the exact multiplier all the same, said in the same way; they are reported apart. */
  exactLayers?: string[] | undefined;
  /**
   * Exact multipliers of fewer bits beside the run's own, measured behind recovery: `post-training` (the float model
   * quantised to their widths), `recovered` (then retrained with the settings of recovery), or `none` (default).
   */
  rivals?: 'none' | 'post-training' | 'recovered' | undefined;
  /** The float model: 30 epochs at 0.05, cosine; 0 where the model is an ONNX file, which brings its weights. */
  train?:
    | (TrainingSettings & {
        /**
         * A network to start from instead of training one (.pth, .pt, safetensors; PyTorch's names and layouts). A
         * published quantised one is the start of phase 1.
         */
        checkpoint?: string | undefined;
        /** The dictionary of the checkpoint that holds the parameters, such as `state_dict_ema`; default: found. */
        checkpointKey?: string | undefined;
        /** Begins the classifier anew, for other classes than those of the weights, and trains all from there. */
        newClassifier?: boolean | undefined;
      })
    | undefined;
  /**
   * Phase 0: calibration, and epochs of quantisation-aware training behind it (default 0; Nesterov, 0.01, cosine by
   * steps; with another optimiser 1e-3, cosine).
   */
  quantize?:
    | (TaughtSettings<'usual' | 'none' | 'float'> & {
        /** Training images in the one calibration batch; default 1024. */
        images?: number | undefined;
        /**
         * What quantisers learn in phases 0, 1 and 3: the sizes of their steps (`steps`, LSQ, default), or factors of
         * the ranges that are observed (`clips`, as published).
         */
        quantizer?: 'clips' | 'steps' | undefined;
        /** Part of the learning rate that the sizes of steps have, above 0; default 1. */
        stepRate?: number | undefined;
        /**
         * Where weights have their 0 with the quantiser `steps`: at a code (default: in the middle; below 5 bits there
         * or one below, where each channel errs less), in the middle, one below, or between these two, with as many
         * numbers on either side and none that is 0.
         */
        weightZero?: 'code' | 'middle' | 'below' | 'between' | undefined;
        /**
         * The range that an observer takes: the extremes and 0, so that every zero point is a code (default), or the
         * extremes alone.
         */
        range?: 'with-zero' | 'as-observed' | undefined;
        /**
         * Layers of other operand widths: `first=8`, `last=8`, `*.fc2=8x6` (weights × activations); the last that means
         * a layer counts. They keep an exact multiplier of these widths.
         */
        layerBits?: string[] | undefined;
        /**
         * Widths of each layer are searched: those with which layers lose least, one at a time, while the gate cost of
         * exact multipliers of them is this on average over the multiplications (exact 8×8 = 1), above 0 to 1. Layers
         * that `layerBits` means keep theirs.
         */
        layerCost?: number | undefined;
        /** At most so many different widths, at least 1; default: as many as there are layers. */
        layerKinds?: number | undefined;
        /**
         * How the ranges of activations are chosen: the least error |x − x_fq|^2.4 (`mse`, default), the extremes, a
         * moving average of them over batches, the inner `percentile` of the values, or the least loss of information
         * (`entropy`). In training they become learned clipping, whose factors start here.
         */
        observer?: 'mse' | 'min-max' | 'moving-average' | 'percentile' | 'entropy' | undefined;
        /** The same for weights, which are seen once; default `mse`. */
        weightObserver?: 'mse' | 'min-max' | 'moving-average' | 'percentile' | 'entropy' | undefined;
        /** Share of the values that the observer `percentile` keeps, in percent, 50 … 100; default 99.99. */
        percentile?: number | undefined;
        /**
         * Folds batch norms into the layers before them, where nothing else reads what lies between; the network is the
         * same and is trained without them from then on. Default: they stay.
         */
        foldBatchNorm?: boolean | undefined;
        /**
         * What is done behind calibration, before the first epoch if there is one: nothing (default), or batch norm's
         * statistics estimated anew on training images as they are.
         */
        start?: 'none' | 'statistics' | undefined;
      })
    | undefined;
  /**
   * Phase 1: weights and structure parameters θ on the loss + λ · power; 10 epochs (Nesterov, 0.002, cosine by steps;
   * with another optimiser 5e-4, constant).
   */
  explore?:
    | (TaughtSettings & {
        /**
         * Weight of the power loss, at least 0; default, with a θ per column or where few columns may go: 0.3. Not
         * together with a target, which finds it.
         */
        lambda?: number | undefined;
        /**
         * Target: the modelled power, relative to the exact 8×8 multiplier, that phase 1 ends at or below; above 0 and
         * up to 1. λ is then found while training. Default, with a θ per product, neither λ nor a loss, and widths that
         * are not searched: 0.6 of what exact multipliers of the widths have.
         */
        power?: number | undefined;
        /**
         * Target: the points of accuracy (0 … 100) that may be lost against the quantised network, as estimated on
         * training images; the power falls as far as that allows. λ is then found while training.
         */
        maxLoss?: number | undefined;
        /**
         * P: how many of the lowest columns may be approximated, up to weights + activations − 1; default: the wider
         * operand's bits, with a θ per product all.
         */
        columns?: number | undefined;
        /** Columns removed at the start (θ = 1); default: half of P, with a θ per product none. */
        initiallyRemoved?: number | undefined;
        /** One multiplier for all layers (default) or one for each. */
        structure?: 'shared' | 'per-layer' | undefined;
        /**
         * How many multipliers the layers end with: they begin with one each and are put together while training. 0:
         * one each to the end, and a table of what fewer would cost.
         */
        types?: number | undefined;
        /** What each θ is of: a single partial product (default), or a column of them, as published. */
        grain?: 'column' | 'product' | undefined;
        /**
         * What weights are stored as under θ: the nearest code (default), or the one whose row of the multiplier is
         * nearest to the multiples of the weight, chosen anew at the beginning of each epoch.
         */
        weightCodes?: 'nearest' | 'best' | undefined;
        /**
         * The last share of the phase, 0 … below 1, in which every θ is brought to 0 or 1 and the weights adapt to
         * that; default 0.2; with a θ per column and λ 0: θ ends anywhere in [0, 1], as published.
         */
        harden?: number | undefined;
        /**
         * What the power in the loss is: the published sum over θ (`analytic`, default), relative to exact multipliers
         * of the same widths, or a model fitted to synthesis with the built-in cells (`fitted`) or with ASAP7
         * (`asap7`), relative to exact 8×8 multipliers.
         */
        powerModel?: 'analytic' | 'fitted' | 'asap7' | undefined;
        /** What is done before the first epoch under the first θ, as in phase 3; default `statistics`. */
        start?: Start | undefined;
        /**
         * What becomes of the mean of what θ takes out of a layer's outputs, while it trains, where a bias and no batch
         * norm follows: the bias is moved with θ (`follow`, default), or stays and learns (`leave`, as published).
         */
        constants?: 'follow' | 'leave' | undefined;
        /** Learning rate of θ; default 0.02. */
        thetaLearningRate?: number | undefined;
        /** Weight decay of θ; default 0. */
        thetaWeightDecay?: number | undefined;
      })
    | undefined;
  /** Phase 2: θ to a netlist, or a multiplier made elsewhere. */
  map?:
    | {
        /**
         * `descent`, the published `greedy`, or `exact`: the kept partial products and nothing else. Default: `exact`
         * where θ ends at 0 or 1 and no cost is said, else `descent`.
         */
        search?: 'descent' | 'greedy' | 'exact' | undefined;
        /**
         * The operands that the descent takes the error over: all pairs alike (default), or as the layers multiply
         * them.
         */
        operands?: 'uniform' | 'measured' | undefined;
        /** Largest gate cost relative to the exact multiplier, 0 … 1; default: what the greedy search reaches. */
        costBudget?: number | undefined;
        /** W of the objective MSE + W · cost, the cost relative to the exact multiplier. */
        costWeight?: number | undefined;
        /**
         * exact: lets the search save gates while the mean squared error to the exact products, over the operands that
         * are met, is at most 1 + this share of what was trained; at least 0, default: nothing is changed.
         */
        errorBound?: number | undefined;
        /**
         * A multiplier to use instead: a netlist or table in a file, a generator such as `dadda:8x8`, or `exact`, for
         * each layer the exact one of its widths; nothing is then explored. `exact:4x5` says the run's widths, too.
         */
        multiplier?: string | undefined;
        /** Its operands and products are two's complement. */
        signed?: boolean | undefined;
        /**
         * Which of its operands comes first; default: what its file says, or the custom of its form (docs/mapping.md).
         */
        operandOrder?: 'weight-activation' | 'activation-weight' | undefined;
        /**
         * Order of a signed table's rows that do not name their operands: by bit pattern (0, 1, …, −1) or by value
         * (−128, …, 127).
         */
        tableOrder?: 'patterns' | 'values' | undefined;
        /** Its module or model in the file; default: the only one that no other instantiates. */
        top?: string | undefined;
        /** Liberty files of the cells that it instantiates. */
        liberty?: string[] | undefined;
        /**
         * What weights are stored as under the multiplier, here and in phase 3: the nearest code (default), or the one
         * whose row of the multiplier is nearest to the multiples of the weight.
         */
        weightCodes?: 'nearest' | 'best' | undefined;
        /**
         * What is taken off for the weights' zero point, here and in phase 3: its exact product (default), or what the
         * multiplier makes of it, so that a weight of 0 adds 0. For a given multiplier and the quantiser `steps`.
         */
        zeroProduct?: 'exact' | 'own' | undefined;
      }
    | undefined;
  /**
   * Phase 3: the weights with the multiplier fixed; 10 epochs (Nesterov, 0.01, cosine by steps; with another optimiser
   * 5e-4, cosine).
   */
  recover?:
    | (TaughtSettings & {
        /**
         * What is done before the first epoch: the mean error of the multiplier goes into the biases, batch norm's
         * statistics are estimated anew on training images as they are, both (default), or nothing.
         */
        start?: Start | undefined;
        /**
         * What weights and activations learn from a product: the slope of the exact one (as published), of the
         * multiplier's smoothed table, or one slope for each row and each column of the table (default).
         */
        gradient?: 'straight-through' | 'difference' | 'rows' | undefined;
        /** Half sizes of the smoothing windows along each operand, 0 … 127 codes, for the gradient `difference`. */
        smoothing?: { weights?: number | undefined; activations?: number | undefined } | undefined;
      })
    | undefined;
}
