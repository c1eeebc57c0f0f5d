// A sweep as it goes: on a terminal one live line for all of it, with a line left for each run that ends; in a pipe
// plain lines. Time left is told from the pace of the epochs so far, in all runs that are side by side.

import { SingleBar } from 'cli-progress';
import type { RunEvent } from '../flow/run/events.ts';
import type { SweepEvent } from '../flow/sweep/events.ts';
import { barOf, PhaseMeter } from './meter.ts';
import { clockTime, isLive, type Output, percent, type Style } from './style.ts';

interface AtWork {
  readonly epochs: number;
  /** Epochs that are done, the one in progress in part. */
  done: number;
  /** Of what it measures beside its epochs. */
  meter?: PhaseMeter;
}

/** Milliseconds between two lines about all of it in a pipe. */
const LONGEST_SILENCE = 60_000;

export class SweepProgress {
  readonly #stream: Output;
  readonly #style: Style;
  readonly #now: () => number;
  readonly #started: number;
  readonly #atWork = new Map<string, AtWork>();
  readonly #elsewhere = new Set<string>();
  #bar: SingleBar | undefined;
  #silence: NodeJS.Timeout | undefined;
  #trials = 0;
  #ended = 0;
  /** Epochs to do when the sweep was taken up; those of ended runs among them; those done here, which set the pace. */
  #epochs = 0;
  #behind = 0;
  #here = 0;
  #isBudgetTold = false;

  constructor(stream: Output, style: Style, now: () => number = Date.now) {
    this.#stream = stream;
    this.#style = style;
    this.#now = now;
    this.#started = now();
  }

  tell(event: SweepEvent): void {
    switch (event.kind) {
      case 'plan': {
        this.#trials = event.trials;
        this.#ended = event.done;
        this.#epochs = event.epochs;
        const there = event.done > 0 ? `, ${event.done} of them done` : '';
        const shared = event.shared > 0 ? `, ${event.shared} shared runs before them` : '';
        this.#print(
          `${event.trials} trials${there}${shared}; ${event.epochs} epochs to train, ${event.jobs} at a time`,
        );
        this.#show();
        break;
      }
      case 'begin': {
        this.#atWork.set(event.job, { epochs: event.epochs, done: 0 });
        this.#elsewhere.delete(event.job);
        const device = event.device === undefined ? '' : ` on ${event.device}`;
        this.#plain(`${event.job}: begins${device}`);
        break;
      }
      case 'run':
        this.#run(event);
        break;
      case 'done':
        this.#end(event.job);
        this.#print(
          `${this.#style.green('✓')} ${event.job}${event.accuracy === undefined ? '' : `  ${percent(event.accuracy)}`}  ${this.#style.dim(clockTime(1000 * event.seconds))}`,
        );
        this.#budget();
        break;
      case 'failed':
        this.#end(event.job);
        this.#print(`${this.#style.red('✗')} ${event.job}: ${event.reason}`);
        break;
      case 'dropped':
        this.#end(event.job);
        this.#print(`${this.#style.dim('·')} ${event.job}: dropped, ${event.reason}`);
        break;
      case 'elsewhere':
        this.#elsewhere.add(event.job);
        this.#plain(`${event.job}: another process works on it`);
        break;
      case 'ended-elsewhere':
        this.#elsewhere.delete(event.job);
        this.#behind += event.epochs;
        if (isTrial(event.job)) this.#ended++;
        this.#print(`${this.#style.dim('·')} ${event.job}: ended in another process`);
        break;
      case 'note':
        this.#print(this.#style.dim(`note: ${event.text}`));
        break;
    }
  }

  /** Gives the terminal back; may be called again. */
  close(): void {
    this.#bar?.stop();
    this.#bar = undefined;
    clearTimeout(this.#silence);
  }

  /** Milliseconds that the rest will take at the pace so far; undefined before there is one. */
  left(): number | undefined {
    const done = this.#here + [...this.#atWork.values()].reduce((sum, one) => sum + one.done, 0);
    if (done <= 0) return undefined;
    const rest = this.#epochs - this.#behind - [...this.#atWork.values()].reduce((sum, one) => sum + one.done, 0);
    return (Math.max(0, rest) * (this.#now() - this.#started)) / done;
  }

  line(width: number): string {
    const left = this.left();
    const parts = [
      this.#style.bold('sweep'),
      `${this.#ended}/${this.#trials} trials`,
      `${this.#atWork.size} at work${this.#elsewhere.size > 0 ? `, ${this.#elsewhere.size} elsewhere` : ''}`,
      clockTime(this.#now() - this.#started),
      ...(left === undefined ? [] : [`${clockTime(left)} left`]),
    ];
    const room = width - 1 - parts.join('  ').length;
    if (room >= 12 && Number.isFinite(width))
      parts.splice(1, 0, barOf(this.#fraction(), Math.min(24, room - 2), this.#style));
    return parts.join('  ');
  }

  #fraction(): number {
    if (this.#epochs === 0) return 0;
    return (this.#behind + [...this.#atWork.values()].reduce((sum, one) => sum + one.done, 0)) / this.#epochs;
  }

  #run({ job, event }: Extract<SweepEvent, { kind: 'run' }>): void {
    const work = this.#atWork.get(job);
    if (event.kind === 'step' && work) {
      // The whole epochs that this run has done, and the part of this one.
      work.done = Math.floor(work.done + 1e-9) + Math.min(0.999, event.step / event.steps);
    } else if (event.kind === 'epoch') {
      const { record, epochs } = event;
      if (work) work.done = Math.min(work.epochs, Math.floor(work.done) + 1);
      this.#plain(`${job}: ${record.phase} epoch ${record.epoch}/${epochs}: test ${percent(record.testAccuracy)}`);
    }
    if (event.kind === 'measured' && work) this.#measured(job, work, event);
    this.#bar?.update(0);
  }

  /** A line for each tenth that is measured. */
  #measured(job: string, work: AtWork, event: Extract<RunEvent, { kind: 'measured' }>): void {
    const now = this.#now();
    work.meter ??= new PhaseMeter(event.phase, '', now);
    const tenths = () => Math.floor(10 * work.meter!.fraction);
    const before = tenths();
    work.meter.measure(event, now);
    if (tenths() > before) this.#plain(`${job}: ${work.meter.text(now)}`);
  }

  #end(job: string): void {
    const work = this.#atWork.get(job);
    this.#atWork.delete(job);
    this.#behind += work?.epochs ?? 0;
    this.#here += work?.done ?? 0;
    if (isTrial(job)) this.#ended++;
  }

  /** Once, when the first trial has ended: what the whole will take. */
  #budget(): void {
    const left = this.left();
    if (this.#isBudgetTold || left === undefined || this.#ended === 0 || this.#ended >= this.#trials) return;
    this.#isBudgetTold = true;
    const trials = this.#trials - this.#ended;
    this.#print(`${trials === 1 ? '1 trial is' : `${trials} trials are`} left: about ${clockTime(left)} at this pace`);
  }

  #show(): void {
    if (!isLive(this.#stream)) {
      this.#listen();
      return;
    }
    const stream = this.#stream;
    this.#bar = new SingleBar({
      stream: (stream.bare ?? stream) as NodeJS.WritableStream,
      format: () => this.line(stream.columns || 80),
      ...{ hideCursor: true, clearOnComplete: true, gracefulExit: false, fps: 4 },
    });
    this.#bar.start(1, 0);
  }

  #listen(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#print(this.line(Number.POSITIVE_INFINITY)), LONGEST_SILENCE).unref();
  }

  /** For a stream that only grows. */
  #plain(text: string): void {
    if (!isLive(this.#stream)) this.#print(text);
  }

  #print(text: string): void {
    const isShown = this.#bar !== undefined;
    this.#bar?.stop();
    this.#bar = undefined;
    this.#stream.write(`${text}\n`);
    if (isShown || !isLive(this.#stream)) this.#show();
  }
}

const isTrial = (job: string): boolean => job.startsWith('trials/');
