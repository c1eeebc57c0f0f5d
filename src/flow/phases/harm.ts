// What few bits of one operand of one layer do to the answers of the float network, all else being float: by how much
// they differ, as a share of themselves (train/answers.ts). It is what widths are searched by, and by what a layer's
// range of activations is chosen where the observer's changes it too much: the step of the least squared error can be
// that of a few large values, which a layer cannot tell, but the network can.
// Invariants: measured with batch norm's statistics as they become, on training images; where a run's ranges are
// chosen layer by layer, they are those that its widths were searched with.

import { sampleOf } from '../../data/sample.ts';
import type { Split } from '../../data/split.ts';
import type { Session } from '../../engine/backend.ts';
import type { Graph, Value } from '../../engine/graph/graph.ts';
import type { Histogram } from '../../quant/observers.ts';
import { probed, probeInputs, roundedWeights } from '../../quant/probe.ts';
import { f32 } from '../../tensor/tensor.ts';
import { type Answers, type Asked, answeringNetwork, asked, askOnce, distance } from '../../train/answers.ts';
import type { Arithmetic, QuantizedArithmetic } from '../../train/task.ts';
import { foldedBatchNorms } from '../multipliers/multipliers.ts';
import type { OpenRun } from '../run/context.ts';
import { inputQuantizer, weightQuantizers } from './calibrate.ts';

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

/** The training images that answer. */
const answering = ({ configuration, dataset }: Pick<Harmed, 'configuration' | 'dataset'>): Split =>
  sampleOf(dataset.train, Math.min(IMAGES, dataset.train.count), configuration.seed);

/** The float network in which what a layer reads may be rounded, by the names of its probes; `found` gets them. */
function withProbes(run: Harmed, found: Map<string, string[]>): Arithmetic {
  let count = 0;
  const inputOf = (layer: string, x: Value) => {
    const name = `probe.${count++}`;
    found.set(layer, [...(found.get(layer) ?? []), name]);
    return probed(x, name);
  };
  return { kind: 'float', folded: foldedBatchNorms(run), inputOf };
}

/** The graphs of a meter: that of the quantised network as a whole, and the one that rounds layers by themselves. */
export const harmGraphs = (run: Harmed & Pick<OpenRun, 'backend'>, quantized: QuantizedArithmetic): Graph[] =>
  [quantized, withProbes(run, new Map())].map(
    (arithmetic) => answeringNetwork(run, run.task, arithmetic, answering(run)).graph,
  );

const keyOf = (layer: string, bits: number) => `${bits} ${layer}`;

/** The settings under which a layer's activations have a range. */
export function withRange<C extends Pick<Harmed['configuration'], 'quantize'>>(
  configuration: C,
  range: RangeChoice,
): C {
  if (range === 'observer') return configuration;
  const how = { observer: 'percentile', percentile: range } as const;
  return { ...configuration, quantize: { ...configuration.quantize, ...how } };
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

/**
 * Measures a float network in a session, whose variables are afterwards what they were; `inputs`: what each layer was
 * seen to read. Each layer is rounded in the same program, one after the other (quant/probe.ts).
 */
export class HarmMeter {
  readonly #run: Harmed;
  readonly #session: Session;
  /** What each layer was seen to read. */
  readonly inputs: ReadonlyMap<string, Histogram>;
  readonly #known = new Map<string, Promise<HarmOfInput>>();
  readonly #sample: Split;
  readonly #float: Answers;
  /** Where each layer reads, and the program that has a probe there; formed when it is first needed. */
  readonly #probes = new Map<string, string[]>();
  #asking: Promise<Asked> | undefined;

  private constructor(
    run: Harmed,
    session: Session,
    inputs: ReadonlyMap<string, Histogram>,
    { float, sample }: { readonly float: Answers; readonly sample: Split },
  ) {
    this.#run = run;
    this.#session = session;
    this.inputs = inputs;
    this.#float = float;
    this.#sample = sample;
  }

  /** `known`: what was measured before. */
  static async open(
    run: Harmed,
    session: Session,
    inputs: ReadonlyMap<string, Histogram>,
    known: KnownInputs = [],
  ): Promise<HarmMeter> {
    const sample = answering(run);
    const inFloat = { kind: 'float', folded: foldedBatchNorms(run) } as const;
    const float = await askOnce(session, run.task, inFloat, sample);
    const meter = new HarmMeter(run, session, inputs, { float, sample });
    for (const { layer, activations, ranges } of known) {
      for (const [at, harm] of activations.entries())
        meter.#known.set(keyOf(layer, at + LEAST_BITS), Promise.resolve({ harm, range: ranges[at]! }));
    }
    return meter;
  }

  /** Training images that answer. */
  get images(): number {
    return this.#sample.count;
  }

  /** Gives up what measures layers by themselves; it is formed again where it is asked for. */
  async close(): Promise<void> {
    await (await this.#asking)?.dispose();
    this.#asking = undefined;
    this.#probes.clear();
  }

  /** The network as a whole: how far its answers are from the float one's, as its quantisers stand at the time. */
  async network(arithmetic: QuantizedArithmetic) {
    const ask = await asked(this.#session, this.#run.task, arithmetic, this.#sample);
    return { distance: async () => distance(await ask(), this.#float), dispose: () => ask.dispose() };
  }

  /** The same, measured once. */
  async ofAll(arithmetic: QuantizedArithmetic): Promise<number> {
    const network = await this.network(arithmetic);
    try {
      return await network.distance();
    } finally {
      await network.dispose();
    }
  }

  /** Of the weights of a layer at so many bits. */
  async ofWeight(layer: string, bits: number): Promise<number> {
    const ask = await this.#ask();
    const name = `${layer}.weight`;
    const weight = await this.#session.read(name);
    const quantizers = await weightQuantizers(this.#run, weight, { layer, bits });
    const rounded = roundedWeights(weight.data, quantizers, bits);
    this.#session.write(name, f32(weight.shape, rounded));
    try {
      return distance(await ask(), this.#float);
    } finally {
      this.#session.write(name, weight);
    }
  }

  /** Of the activations that a layer reads, at so many bits and the range that does least; measured once. */
  ofInput(layer: string, bits: number): Promise<HarmOfInput> {
    const key = keyOf(layer, bits);
    const found = this.#known.get(key) ?? this.#measureInput(layer, bits);
    this.#known.set(key, found);
    return found;
  }

  /** Of what all layers read, at these widths; in the observer's range but for those that have a percentile. */
  async ofInputs(
    widths: ReadonlyMap<string, { readonly activations: number }>,
    percentiles: ReadonlyMap<string, number> = new Map(),
  ): Promise<number> {
    const ask = await this.#ask();
    const ranges = [...widths].map(([layer, { activations: bits }]) => {
      return { layer, bits, range: percentiles.get(layer) ?? ('observer' as const) };
    });
    try {
      for (const one of ranges) await this.#probe(one.layer, one);
      return distance(await ask(), this.#float);
    } finally {
      for (const { layer } of ranges) await this.#probe(layer, undefined);
    }
  }

  async #measureInput(layer: string, bits: number): Promise<HarmOfInput> {
    const ask = await this.#ask();
    const harmWith = async (range: RangeChoice): Promise<HarmOfInput> => {
      await this.#probe(layer, { bits, range });
      return { range, harm: distance(await ask(), this.#float) };
    };
    try {
      let least = await harmWith('observer');
      if (least.harm <= NEARLY_NOTHING || !mayReplaceRanges(this.#run)) return least;
      for (const range of PERCENTILES) {
        const next = await harmWith(range);
        if (next.harm < least.harm) least = next;
      }
      return least;
    } finally {
      await this.#probe(layer, undefined);
    }
  }

  /** Rounds what a layer reads, or leaves it as it is. */
  async #probe(layer: string, to: { readonly bits: number; readonly range: RangeChoice } | undefined): Promise<void> {
    const ask = await this.#ask();
    const configuration = to && withRange(this.#run.configuration, to.range);
    const start = configuration && inputQuantizer({ configuration }, { bits: to.bits, seen: this.inputs.get(layer)! });
    for (const name of this.#probes.get(layer)!)
      for (const [input, values] of probeInputs(name, start && { ...start, bits: to.bits })) ask.set(input, values);
  }

  #ask(): Promise<Asked> {
    this.#asking ??= this.#form();
    return this.#asking;
  }

  async #form(): Promise<Asked> {
    const ask = await asked(this.#session, this.#run.task, withProbes(this.#run, this.#probes), this.#sample);
    for (const name of [...this.#probes.values()].flat())
      for (const [input, values] of probeInputs(name, undefined)) ask.set(input, values);
    return ask;
  }
}
