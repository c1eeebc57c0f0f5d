// What few bits of one operand of one layer do to the answers of the float network, all else being float: by how much
// they differ, as a share of themselves (train/answers.ts). It is what widths are searched by, and by what a layer's
// range of activations is chosen where the observer's breaks the network: the step of the least squared error can be
// that of a few large values, which a layer cannot tell, but the network can.
// Invariants: measured with batch norm's statistics as they become, on training images; where a run's ranges are
// chosen layer by layer, they are those that its widths were searched with.

import { sampleOf } from '../../data/sample.ts';
import type { Session } from '../../engine/backend.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import type { Histogram } from '../../quant/observers.ts';
import type { OperandName } from '../../quant/quantized.ts';
import { type Answers, type Asked, asked, askOnce, distance } from '../../train/answers.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import { foldedBatchNorms, quantizedArithmetic } from '../multipliers/multipliers.ts';
import type { OpenRun } from '../run/context.ts';
import { withLayerBits } from '../settings/layers.ts';
import { observeInput, observeWeight } from './calibrate.ts';

type Harmed = Pick<OpenRun, 'configuration' | 'dataset' | 'task' | 'layers'>;

/** Distances of answers are means over ten figures of each image, and of no label: few images will do. */
const IMAGES = 256;
/** The least width of an operand. */
const LEAST_BITS = 2;
/** A distance that no other range is looked for at. */
export const NEARLY_NOTHING = 1e-3;
/** Shares of the values inside the range, in percent. */
const PERCENTILES = [99.99, 99.9, 99] as const;

/** A layer's range of activations: as the run's observer has it, or the percentile that does less harm. */
export type RangeChoice = number | 'observer';

export interface HarmOfInput {
  readonly harm: number;
  readonly range: RangeChoice;
}

const keyOf = (layer: string, bits: number) => `${bits} ${layer}`;

/** Sets the range of what a layer reads. */
export function setRange(
  { configuration }: Pick<Harmed, 'configuration'>,
  session: Session,
  { range, ...what }: { layer: string; bits: number; seen: Histogram; range: RangeChoice },
): void {
  const how = range === 'observer' ? {} : { observer: 'percentile' as const, percentile: range };
  const quantize = { ...configuration.quantize, ...how };
  observeInput({ configuration: { ...configuration, quantize } }, session, what);
}

/** Whether a layer may have a range of its own: learned steps that begin at the least squared error. */
export const mayReplaceRanges = ({ configuration: { quantize } }: Pick<Harmed, 'configuration'>): boolean =>
  quantize.quantizer === 'steps' && quantize.observer === 'mse';

/** What is known of layers before they are measured: for each width of its activations from 2 bits on. */
export type KnownInputs = readonly {
  readonly layer: string;
  readonly activations: readonly number[];
  readonly ranges: readonly RangeChoice[];
}[];

/** Measures a float network in a session; `inputs`: what each layer was seen to read. */
export class HarmMeter {
  readonly #run: Harmed;
  readonly #session: Session;
  /** What each layer was seen to read. */
  readonly inputs: ReadonlyMap<string, Histogram>;
  readonly #known = new Map<string, Promise<HarmOfInput>>();
  readonly #ask: (arithmetic: QuantizedArithmetic) => Promise<Asked>;
  readonly #float: Answers;
  readonly images: number;

  private constructor(
    run: Harmed,
    session: Session,
    inputs: ReadonlyMap<string, Histogram>,
    { float, images, ask }: { float: Answers; images: number; ask: (how: QuantizedArithmetic) => Promise<Asked> },
  ) {
    this.#run = run;
    this.#session = session;
    this.inputs = inputs;
    this.#float = float;
    this.#ask = ask;
    this.images = images;
  }

  static async open(
    run: Harmed,
    session: Session,
    inputs: ReadonlyMap<string, Histogram>,
    known: KnownInputs = [],
  ): Promise<HarmMeter> {
    const { configuration, dataset, task } = run;
    const sample = sampleOf(dataset.train, Math.min(IMAGES, dataset.train.count), configuration.seed);
    const inFloat = { kind: 'float', folded: foldedBatchNorms(run) } as const;
    const float = await askOnce(session, task, inFloat, sample);
    const ask = (arithmetic: QuantizedArithmetic) => asked(session, task, arithmetic, sample);
    const meter = new HarmMeter(run, session, inputs, { float, images: sample.count, ask });
    for (const { layer, activations, ranges } of known) {
      for (const [at, harm] of activations.entries())
        meter.#known.set(keyOf(layer, at + LEAST_BITS), Promise.resolve({ harm, range: ranges[at]! }));
    }
    return meter;
  }

  /** Of the network as a whole, as its quantisers stand. */
  async ofAll(arithmetic: QuantizedArithmetic): Promise<number> {
    const ask = await this.#ask(arithmetic);
    try {
      return distance(await ask(), this.#float);
    } finally {
      await ask.dispose();
    }
  }

  /** Of the weights of a layer at so many bits. The layer's quantisers are left as they were measured. */
  async ofWeight(layer: string, bits: number): Promise<number> {
    await observeWeight(this.#run, this.#session, { layer, bits });
    return await this.ofAll(this.#alone(layer, 'weight', bits));
  }

  /** Of the activations that a layer reads, at so many bits and the range that does least; measured once. */
  ofInput(layer: string, bits: number): Promise<HarmOfInput> {
    const key = keyOf(layer, bits);
    const found = this.#known.get(key) ?? this.#measureInput(layer, bits);
    this.#known.set(key, found);
    return found;
  }

  async #measureInput(layer: string, bits: number): Promise<HarmOfInput> {
    const [run, session] = [this.#run, this.#session];
    const seen = this.inputs.get(layer)!;
    const ask = await this.#ask(this.#alone(layer, 'input', bits));
    try {
      const harmWith = async (range: RangeChoice): Promise<HarmOfInput> => {
        setRange(run, session, { layer, bits, seen, range });
        return { range, harm: distance(await ask(), this.#float) };
      };
      let least = await harmWith('observer');
      if (least.harm <= NEARLY_NOTHING || !mayReplaceRanges(run)) return least;
      for (const range of PERCENTILES) {
        const next = await harmWith(range);
        if (next.harm < least.harm) least = next;
      }
      return least;
    } finally {
      await ask.dispose();
    }
  }

  /** All but this operand of a layer in float. */
  #alone(layer: string, operand: OperandName, bits: number): QuantizedArithmetic {
    const configuration = withLayerBits(this.#run.configuration, [`${layer}=${bits}x${bits}`]);
    const arithmetic = quantizedArithmetic({ ...this.#run, configuration }, exactMultiplier);
    const other = operand === 'weight' ? 'input' : 'weight';
    return { ...arithmetic, isFloat: (one) => one !== layer, floatOperandOf: () => other };
  }
}
