// What is known of the phase in progress, and one line that shows it in a given width. Rates and times left count only
// what this process did, so that a resumed phase does not boast; the clock is the caller's. Nothing here writes.

import type { RunEvent } from '../flow/run/events.ts';
import type { Phase } from '../flow/settings/phases.ts';
import { clockTime, grouped, percent, type Style } from './style.ts';

type StepOf = Extract<RunEvent, { kind: 'step' }>;
type EpochOf = Extract<RunEvent, { kind: 'epoch' }>;
type MeasuredOf = Extract<RunEvent, { kind: 'measured' }>;

export class PhaseMeter {
  readonly phase: Phase;
  readonly title: string;
  readonly #started: number;
  #latest: StepOf | undefined;
  #epoch: EpochOf | undefined;
  #stepsDone = 0;
  #firstStep: number | undefined;
  #previousStep: number | undefined;
  #images = 0;
  #imageTime = 0;
  /** What was known when this process began to measure, and when that was. */
  #knownBefore: { readonly done: number; readonly at: number } | undefined;
  #measured: (MeasuredOf & { readonly at: number }) | undefined;

  constructor(phase: Phase, title: string, now: number) {
    this.phase = phase;
    this.title = title;
    this.#started = now;
  }

  step(event: StepOf, now: number): void {
    if (this.#previousStep !== undefined && event.step > 1) {
      this.#images += event.images;
      this.#imageTime += now - this.#previousStep;
    }
    this.#firstStep ??= now;
    this.#previousStep = now;
    this.#latest = event;
    this.#stepsDone++;
  }

  finishEpoch(event: EpochOf): void {
    this.#epoch = event;
  }

  measure(event: MeasuredOf, now: number): void {
    this.#knownBefore ??= { done: event.done, at: now };
    this.#measured = { ...event, at: now };
  }

  elapsed(now: number): number {
    return now - this.#started;
  }

  /** Share of the phase's steps or measurements that are done, 0…1, in all processes that worked on it. */
  get fraction(): number {
    if (this.#measured) return this.#measured.done / this.#measured.of;
    if (!this.#latest) return 0;
    const { epoch, epochs, step, steps } = this.#latest;
    return ((epoch - 1) * steps + step) / (epochs * steps);
  }

  /** Training images per second; undefined before the second step. */
  get rate(): number | undefined {
    return this.#imageTime > 0 ? (1000 * this.#images) / this.#imageTime : undefined;
  }

  /** Milliseconds that the rest of the phase will take at the pace so far. */
  remaining(now: number): number | undefined {
    if (this.#measured) {
      const pace = this.#measuredPerSecond;
      return pace === undefined ? undefined : (1000 * (this.#measured.of - this.#measured.done)) / pace;
    }
    if (!this.#latest || this.#firstStep === undefined || this.#stepsDone < 2) return undefined;
    const { epoch, epochs, step, steps } = this.#latest;
    const left = (epochs - epoch) * steps + (steps - step);
    const pace = ((this.#previousStep ?? now) - this.#firstStep) / (this.#stepsDone - 1);
    return left * pace;
  }

  /** Of what this process measured itself; undefined before the first. */
  get #measuredPerSecond(): number | undefined {
    if (!this.#measured || !this.#knownBefore) return undefined;
    const { done, at } = this.#knownBefore;
    const time = this.#measured.at - at;
    return time > 0 ? (1000 * (this.#measured.done - done)) / time : undefined;
  }

  /**
   * The line for a terminal that is `width` columns wide; never longer than width − 1 and never with a control
   * character of its own.
   */
  line(width: number, now: number, style: Style): string {
    const room = Math.max(1, width - 1);
    const parts = this.#parts(now, style);
    return composeLine(
      parts,
      room,
      this.#latest || this.#measured ? (bar) => barOf(this.fraction, bar, style) : undefined,
    );
  }

  /** The same in words, for a stream that only grows. */
  text(now: number): string {
    if (!this.#latest && !this.#measured) return `${this.phase}: at work for ${clockTime(this.elapsed(now))}`;
    const [, ...facts] = this.#parts(now);
    return `${this.phase}: ${facts.map(({ text }) => text.trim().replace(/ +/g, ' ')).join(', ')}`;
  }

  /** What is to be told; numbers keep their width while they change, so that what stands beside them does not move. */
  #parts(now: number, style?: Style): Part[] {
    const clock = clockTime(this.elapsed(now));
    const latest = this.#latest;
    if (this.#measured) return this.#measuredParts(this.#measured, now, style);
    if (!latest) {
      return [
        { text: this.title, rank: 0, paint: style?.bold },
        { text: clock, rank: 1 },
      ];
    }
    const { epoch, epochs, step, steps } = latest;
    const rate = this.rate;
    const left = this.remaining(now);
    const power = latest.power ?? this.#epoch?.record.power;
    const test = this.#epoch?.record.testAccuracy;
    const share = (value: number) => percent(value, 1).padStart('100.0 %'.length);
    const parts: (Part | undefined)[] = [
      { text: this.phase, rank: 0, paint: style?.bold },
      { text: `epoch ${counted(epoch, epochs)}`, rank: 1 },
      { text: `step ${counted(step, steps)}`, rank: 6 },
      rate === undefined ? undefined : { text: `${grouped(rate).padStart('9 999'.length)} img/s`, rank: 7 },
      { text: `loss ${latest.loss.toFixed(3).padStart('99.999'.length)}`, rank: 4 },
      { text: `acc ${share(latest.accuracy)}`, rank: 3 },
      test === undefined ? undefined : { text: `test ${share(test)}`, rank: 9 },
      power === undefined ? undefined : { text: `power ${power.toFixed(3)}`, rank: 5 },
      { text: clock.padStart('59:59'.length), rank: 8, paint: style?.dim },
      left === undefined ? undefined : { text: `${clockTime(left).padStart('59:59'.length)} left`, rank: 2 },
    ];
    return parts.filter((part) => part !== undefined);
  }

  #measuredParts({ done, of }: MeasuredOf, now: number, style?: Style): Part[] {
    const rate = this.#measuredPerSecond;
    const left = this.remaining(now);
    return [
      { text: this.phase, rank: 0, paint: style?.bold },
      { text: `${counted(done, of)} measured`, rank: 1 },
      ...(rate === undefined ? [] : [{ text: `${rate.toFixed(1).padStart('999.9'.length)}/s`, rank: 4 }]),
      { text: clockTime(this.elapsed(now)).padStart('59:59'.length), rank: 3, paint: style?.dim },
      ...(left === undefined ? [] : [{ text: `${clockTime(left).padStart('59:59'.length)} left`, rank: 2 }]),
    ];
  }
}

const counted = (value: number, of: number) => `${String(value).padStart(String(of).length)}/${of}`;

interface Part {
  readonly text: string;
  /** The part with the largest rank goes first when there is no room. */
  readonly rank: number;
  readonly paint?: ((text: string) => string) | undefined;
}

const GAP = '  ';
const LEAST_BAR = 8;
const LARGEST_BAR = 24;

/**
 * Joins the parts, without those that the room does not allow; what is left over goes to the bar behind the first part.
 */
function composeLine(parts: readonly Part[], room: number, bar: ((length: number) => string) | undefined): string {
  let shown = [...parts];
  const needed = () => shown.reduce((sum, { text }) => sum + text.length + GAP.length, -GAP.length);
  const reserve = () => (bar && shown.length > 2 ? LEAST_BAR + GAP.length : 0);
  while (shown.length > 1 && needed() + reserve() > room) {
    const least = shown.reduce((worst, part) => (part.rank > worst.rank ? part : worst));
    shown = shown.filter((part) => part !== least);
  }
  const spare = room - needed() - GAP.length;
  const texts = shown.map(({ text, paint }) => {
    const cut = text.slice(0, room);
    return paint ? paint(cut) : cut;
  });
  if (bar && spare >= LEAST_BAR) texts.splice(1, 0, bar(Math.min(spare, LARGEST_BAR)));
  return texts.join(GAP);
}

export function barOf(fraction: number, length: number, style: Style): string {
  const done = Math.max(0, Math.min(length, Math.round(fraction * length)));
  return style.green('━'.repeat(done)) + style.dim('─'.repeat(length - done));
}
