// A run as a TensorBoard event file in its folder (docs/logging.md). The axis is the number of the epoch in the run as
// a whole. Invariant: what a reader takes from the file, as TensorBoard takes it, is each (tag, step) once, and is what
// metrics.jsonl and the manifest say: epochs that a resumed phase will do again are void from its START on, and what
// would contradict them otherwise is written anew.

import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import type { Session } from '../../engine/backend.ts';
import {
  event,
  fileVersion,
  histogram,
  image,
  restart,
  scalar,
  sessionEnd,
  sessionStart,
  toldBy,
  type Value,
} from '../../logs/events.ts';
import { frame, recordsOf as framesOf } from '../../logs/tfrecord.ts';
import { fileError, readBytes, sha256, writeInside } from '../../tensor/files.ts';
import { decodeAll } from '../../tensor/safetensors.ts';
import type { HostTensor, TensorData } from '../../tensor/tensor.ts';
import type { MetricRecord } from '../run/events.ts';
import { eventFile, files, inFolder } from '../run/folder.ts';
import type { RunLog } from '../run/logs.ts';
import { type Manifest, stageResultOf, verifiedBytes } from '../run/manifest.ts';
import { readMetrics } from '../run/metrics.ts';
import { type Phase, phasesBeside, phasesOf } from '../settings/phases.ts';
import {
  endOf,
  figuresOf,
  figuresOfStage,
  nameOf,
  parametersOf,
  recordsOf,
  stepOf,
  thetaOf,
  timeOf,
} from './figures.ts';
import type { LogPlace } from './logs.ts';

/** What the file says at a step under a tag. */
interface Live {
  readonly step: number;
  readonly hash: string;
}

const keyOf = (tag: string, step: number): string => `${step} ${tag}`;
const hashOf = ({ bytes }: Value): string => sha256(bytes).slice(0, 24);
const weightOf = (layer: string): string => `${layer}.weight`;
const weightStepOf = (layer: string): string => `${layer}.weight_scale`;
const inputStepOf = (layer: string): string => `${layer}.input_scale`;
/** Pixels of a picture for one of the figure. */
const SCALE = 2;

export class TensorBoardLog implements RunLog {
  readonly #place: LogPlace;
  readonly #path: string;
  #manifest: Manifest;
  readonly #live = new Map<string, Live>();
  #descriptor: number;
  readonly #waiting: Uint8Array[] = [];
  #isTogether = false;

  constructor(place: LogPlace) {
    this.#place = place;
    this.#manifest = place.manifest;
    this.#path = inFolder(place, eventFile(place.manifest));
    this.#descriptor = this.#open();
    this.#read();
    this.#start();
    const records = this.#records();
    this.#forget(Math.max(0, ...records.map((record) => this.#step(record))));
    this.#catchUp(records);
    for (const phase of phasesOf(this.#manifest.configuration)) if (this.#manifest.phases[phase]) this.#stages(phase);
  }

  goOn(epoch: number): void {
    this.#forget(epoch);
    this.#catchUp(this.#records().filter((record) => this.#step(record) <= epoch));
  }

  async epoch(record: MetricRecord, session: Session): Promise<void> {
    const step = this.#step(record);
    const now = seconds(Date.now());
    this.#isTogether = true;
    this.#record(record, now);
    const layers = this.#manifest.inputs.layers.map(({ name }) => name);
    const tensors = new Map<string, HostTensor>();
    const names = new Set(session.variableNames());
    for (const name of layers.flatMap((layer) => [weightOf(layer), weightStepOf(layer), inputStepOf(layer)])) {
      if (names.has(name)) tensors.set(name, await session.read(name));
    }
    this.#weights(now, step, layers, tensors);
    this.#isTogether = false;
    this.#write();
  }

  async done(manifest: Manifest, phase: Phase): Promise<void> {
    this.#manifest = manifest;
    this.#stages(phase);
    if (phase === 'report') await this.#pictures();
  }

  /** What a finished run has of what is told while it trains: the weights behind each phase, and the pictures. */
  async stored(): Promise<void> {
    const { phases: done, configuration, inputs } = this.#manifest;
    const checkpoints = [
      ['train', files.float],
      ['quantize', files.quantized],
      ['explore', files.explored],
      ['recover', files.recovered],
    ] as const;
    for (const [phase, path] of checkpoints) {
      const record = done[phase];
      if (record?.files[path] === undefined || !phasesOf(configuration).includes(phase)) continue;
      const { tensors } = decodeAll(verifiedBytes(this.#place.folder, record, path), path);
      const layers = inputs.layers.map(({ name }) => name);
      this.#weights(seconds(Date.parse(record.finished)), endOf(configuration, phase), layers, tensors, true);
    }
    if (done.report) await this.#pictures();
  }

  close(): void {
    const { phases: done, configuration } = this.#manifest;
    const own = phasesBeside(configuration, done);
    if (own.every((phase) => done[phase])) {
      const ended = Math.max(...own.map((phase) => Date.parse(done[phase]!.finished)));
      // The report is a view, made again at every call: the run ended before it.
      const last = own.filter((phase) => phase !== 'report').map((phase) => Date.parse(done[phase]!.finished));
      this.#put(seconds(ended), 0, sessionEnd(seconds(Math.max(...last))));
    }
    closeSync(this.#descriptor);
  }

  #records(): MetricRecord[] {
    return recordsOf(this.#manifest, readMetrics(this.#place.folder));
  }

  #step(record: MetricRecord): number {
    return stepOf(this.#manifest.configuration, record);
  }

  /** What is there already; a torn end is cut off. */
  #read(): void {
    const bytes = readBytes(this.#path);
    const { records, end } = framesOf(bytes);
    if (records.length === 0) {
      ftruncateSync(this.#descriptor, 0);
      this.#append(fileVersion(seconds(Date.parse(this.#manifest.created))));
      return;
    }
    if (end < bytes.length) ftruncateSync(this.#descriptor, end);
    for (const { data } of records) {
      const told = toldBy(data);
      if (told.kind === 'restart') this.#void(told.step);
      if (told.kind === 'value') {
        this.#live.set(keyOf(told.value.tag, told.step), { step: told.step, hash: hashOf(told.value) });
      }
    }
  }

  #void(step: number): void {
    for (const [key, live] of this.#live) if (live.step >= step) this.#live.delete(key);
  }

  /** Makes what is told of epochs behind this one void. */
  #forget(epoch: number): void {
    if (![...this.#live.values()].some(({ step }) => step > epoch)) return;
    this.#append(restart(seconds(Date.now()), epoch + 1));
    this.#void(epoch + 1);
  }

  #start(): void {
    const { configuration, created } = this.#manifest;
    const began = seconds(Date.parse(created));
    this.#put(began, 0, sessionStart(parametersOf(configuration), nameOf(this.#place.folder), began));
  }

  #catchUp(records: readonly MetricRecord[]): void {
    for (const record of records) this.#record(record, seconds(timeOf(this.#manifest, record) ?? Date.now()));
  }

  #record(record: MetricRecord, time: number): void {
    const step = this.#step(record);
    for (const [name, value] of figuresOf(record)) this.#put(time, step, scalar(name, value));
    for (const [name, values] of thetaOf(record)) this.#put(time, step, histogram(`theta/${name}`, values));
  }

  /** The layers' weights and the steps of their quantisers; `missing`: only those of which nothing is said. */
  #weights(
    time: number,
    step: number,
    layers: readonly string[],
    tensors: ReadonlyMap<string, HostTensor>,
    missing = false,
  ): void {
    const put = (tensor: HostTensor | undefined, tag: string, make: (data: TensorData) => Value | undefined) => {
      if (!tensor || (missing && this.#live.has(keyOf(tag, step)))) return;
      this.#put(time, step, make(tensor.data));
    };
    for (const layer of layers) {
      for (const [name, tag] of [
        [weightOf(layer), `weights/${layer}`],
        [weightStepOf(layer), `weight_steps/${layer}`],
      ] as const) {
        put(tensors.get(name), tag, (data) => histogram(tag, data));
      }
      const tag = `input_step/${layer}`;
      put(tensors.get(inputStepOf(layer)), tag, (data) => scalar(tag, data[0]!));
    }
  }

  #stages(phase: Phase): void {
    const { configuration, phases: done } = this.#manifest;
    const record = done[phase]!;
    const [time, step] = [seconds(Date.parse(record.finished)), endOf(configuration, phase)];
    for (const stage of record.stages) {
      for (const [name, value] of figuresOfStage(stageResultOf(stage), `stage/${stage.stage}`))
        this.#put(time, step, scalar(name, value));
    }
    const result = record.stages.at(-1);
    if (phase !== 'recover' || !result) return;
    for (const [name, value] of figuresOfStage(stageResultOf(result), 'result'))
      this.#put(time, step, scalar(name, value));
  }

  /** The report's figures, as pictures. */
  async #pictures(): Promise<void> {
    const { configuration, phases: done } = this.#manifest;
    const { folder, listener } = this.#place;
    const record = done.report!;
    const paths = Object.keys(record.files).filter((path) => path.startsWith('figures/'));
    const names = new Set(paths.map((path) => basename(path).replace(/\.\w+$/, '')));
    const { svgToPng } = await import('../../report/png.ts');
    for (const name of names) {
      const [png, svg] = ['png', 'svg'].map((ending) => paths.find((path) => path === `figures/${name}.${ending}`));
      try {
        const bytes = png
          ? verifiedBytes(folder, record, png)
          : svg && (await svgToPng(new TextDecoder().decode(verifiedBytes(folder, record, svg)), { scale: SCALE }));
        if (bytes)
          this.#put(
            seconds(Date.parse(record.finished)),
            endOf(configuration, 'report'),
            image(`figures/${name}`, bytes),
          );
      } catch (error) {
        listener({ kind: 'note', text: `TensorBoard: no pictures: ${(error as Error).message}` });
        return;
      }
    }
  }

  /** Says it once: what is said already is left, and what was said otherwise is taken out of the file. */
  #put(time: number, step: number, value: Value | undefined): void {
    if (!value) return;
    const key = keyOf(value.tag, step);
    const hash = hashOf(value);
    const before = this.#live.get(key);
    if (before?.hash === hash) return;
    this.#live.set(key, { step, hash });
    if (before) this.#rewrite();
    this.#waiting.push(event(time, step, value));
    if (!this.#isTogether) this.#write();
  }

  /** What is told together is written at once, so that a reader or a kill finds all of it or little. */
  #write(): void {
    this.#append(...this.#waiting.splice(0));
  }

  /** Without what is void, and what is to be said otherwise. */
  #rewrite(): void {
    const kept = new Map<string, Uint8Array>();
    const { records } = framesOf(readBytes(this.#path));
    for (const { data } of records) {
      const told = toldBy(data);
      if (told.kind !== 'value') continue;
      const key = keyOf(told.value.tag, told.step);
      if (this.#live.get(key)?.hash === hashOf(told.value)) kept.set(key, data);
    }
    closeSync(this.#descriptor);
    const all = [records[0]!.data, ...kept.values()];
    writeInside(this.#place.folder, basename(this.#path), Buffer.concat(all.map(frame)));
    this.#descriptor = this.#open();
  }

  #open(): number {
    const { O_RDWR, O_CREAT, O_APPEND, O_NOFOLLOW = 0 } = constants;
    try {
      return openSync(this.#path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0o666);
    } catch (error) {
      throw fileError('write', this.#path, error);
    }
  }

  #append(...events: readonly Uint8Array[]): void {
    try {
      const bytes = Buffer.concat(events.map(frame));
      let written = 0;
      while (written < bytes.length) written += writeSync(this.#descriptor, bytes, written);
    } catch (error) {
      throw fileError('write', this.#path, error);
    }
  }
}

const seconds = (milliseconds: number): number => milliseconds / 1000;
