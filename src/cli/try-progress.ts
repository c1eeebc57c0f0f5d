// Trying multipliers as it goes: plain lines for a terminal and a pipe alike, each of which grows while its multiplier
// is measured.

import type { TryEvent } from '../flow/try/events.ts';
import type { Treatment } from '../flow/try/treatments.ts';
import { type Output, percent } from './style.ts';

const treatmentTitles: Record<Treatment, string> = {
  plain: 'as it is',
  folded: 'folded',
  reestimated: 're-estimated',
  recovered: 'recovered',
};

/** One line per multiplier, which grows while it is measured. */
export class ProgressLines {
  readonly #stream: Output;
  #open = false;
  #results = 0;

  constructor(stream: Output) {
    this.#stream = stream;
  }

  tell(event: TryEvent): void {
    switch (event.kind) {
      case 'begin':
        this.close();
        this.#open = true;
        this.#results = 0;
        this.#stream.write(`${event.at}/${event.of} ${event.name}:`);
        break;
      case 'measured':
        this.#add(`${treatmentTitles[event.treatment]} ${percent(event.accuracy)}`);
        break;
      case 'epoch':
        this.#add(`epoch ${event.epoch}/${event.epochs} ${percent(event.accuracy)}`);
        break;
      case 'kept':
        this.#add('measured before');
        break;
      case 'failed':
        this.close();
        this.#stream.write(`failed: ${event.reason}\n`);
        break;
      case 'note':
        this.close();
        this.#stream.write(`note: ${event.text}\n`);
        break;
    }
  }

  #add(text: string): void {
    this.#stream.write(this.#open ? `${this.#results++ === 0 ? ' ' : '; '}${text}` : `  ${text}\n`);
  }

  close(): void {
    if (this.#open) this.#stream.write('\n');
    this.#open = false;
  }
}
