// What a run shows while it works, as a listener of its events: on a terminal one live line for the phase in progress,
// with finished phases left as one line each; anywhere else plain lines, one for each epoch and for the start and end
// of each phase, and one a minute while nothing else is told.

import { SingleBar } from 'cli-progress';
import type { Listener, RunEvent } from '../flow/run/events.ts';
import type { Phase } from '../flow/settings/phases.ts';
import { PhaseMeter } from './meter.ts';
import { clockTime, isLive, type Output, percent, type Style, wrapped } from './style.ts';

export interface Progress {
  readonly listener: Listener;
  /** Ends the live line and gives the terminal back as it was; may be called again. */
  close(): void;
}

export interface ProgressOptions {
  readonly stream: Output;
  readonly style: Style;
  /** Milliseconds. */
  readonly now?: () => number;
}

export const silentProgress: Progress = { listener: () => {}, close: () => {} };

export function createProgress(options: ProgressOptions): Progress {
  return isLive(options.stream) ? liveProgress(options) : plainProgress(options);
}

const USUAL_WIDTH = 80;

function liveProgress({ stream, style, now = Date.now }: ProgressOptions): Progress {
  let bar: SingleBar | undefined;
  let meter: PhaseMeter | undefined;
  const columns = () => stream.columns || USUAL_WIDTH;

  const show = () => {
    const shown = meter;
    if (!shown || bar) return;
    bar = new SingleBar({
      stream: (stream.bare ?? stream) as NodeJS.WritableStream,
      format: () => shown.line(columns(), now(), style),
      hideCursor: true,
      clearOnComplete: true,
      gracefulExit: false,
      fps: 10,
    });
    bar.start(1, 0);
  };
  const hide = () => {
    bar?.stop();
    bar = undefined;
  };
  const print = (text: string) => {
    const live = bar !== undefined;
    hide();
    stream.write(`${text}\n`);
    if (live) show();
  };

  const listener = (event: RunEvent) => {
    switch (event.kind) {
      case 'phase-start':
        hide();
        meter = new PhaseMeter(event.phase, event.resumed ? `${event.title} (resumed)` : event.title, now());
        return show();
      case 'step':
        meter?.step(event, now());
        return bar?.update(meter?.fraction ?? 0);
      case 'epoch':
        meter?.finishEpoch(event);
        return bar?.update(meter?.fraction ?? 0);
      case 'measured':
        meter?.measure(event, now());
        return bar?.update(meter?.fraction ?? 0);
      case 'note':
        return print(style.dim(`  ${wrapped(event.text, columns() - 3).replaceAll('\n', '\n  ')}`));
      case 'phase-end': {
        const time = meter ? clockTime(meter.elapsed(now())) : '';
        hide();
        meter = undefined;
        return print(finishedLine(event.phase, event.summary || 'done', time, columns(), style));
      }
      case 'phase-skip':
        return print(`${style.dim('·')} ${phaseColumn(event.phase, style)} ${style.dim(event.reason)}`);
    }
  };
  return { listener, close: hide };
}

/** What a phase came to and its time; what does not fit goes on below, under the same column. */
function finishedLine(phase: Phase, summary: string, time: string, columns: number, style: Style): string {
  const indent = ' '.repeat('✓ quantize '.length);
  const lines = wrapped(`${summary}  ${time}`, columns - 1 - indent.length).split('\n');
  const last = lines.length - 1;
  lines[last] = lines[last]!.replace(/\S+$/, style.dim(time));
  return `${style.green('✓')} ${phaseColumn(phase, style)} ${lines.join(`\n${indent}`)}`;
}

function phaseColumn(phase: Phase, style: Style): string {
  return style.bold(phase.padEnd('quantize'.length));
}

/** Milliseconds after which a plain stream is told something again. */
const LONGEST_SILENCE = 60_000;

function plainProgress({ stream, now = Date.now }: ProgressOptions): Progress {
  let phaseStart = now();
  let epochStart = phaseStart;
  let meter: PhaseMeter | undefined;
  let silence: NodeJS.Timeout | undefined;
  const listen = () => {
    clearTimeout(silence);
    silence = meter && setTimeout(() => print(meter?.text(now()) ?? ''), LONGEST_SILENCE).unref();
  };
  const print = (text: string) => {
    stream.write(`${text}\n`);
    listen();
  };
  const since = (start: number) => `${((now() - start) / 1000).toFixed(1)} s`;

  const listener = (event: RunEvent) => {
    switch (event.kind) {
      case 'phase-start':
        phaseStart = now();
        epochStart = phaseStart;
        meter = new PhaseMeter(event.phase, event.title, phaseStart);
        return print(`${event.phase}: ${event.title}${event.resumed ? ' (resumed)' : ''}`);
      case 'step':
        return meter?.step(event, now());
      case 'measured':
        return meter?.measure(event, now());
      case 'epoch': {
        const { record, epochs } = event;
        meter?.finishEpoch(event);
        const facts = [
          `loss ${record.loss.toFixed(4)}`,
          `train ${percent(record.trainAccuracy)}`,
          `test ${percent(record.testAccuracy)}`,
          ...(record.power === undefined ? [] : [`power ${record.power.toFixed(4)}`]),
          `learning rate ${Number(record.learningRate.toPrecision(3))}`,
          since(epochStart),
        ];
        epochStart = now();
        return print(`${record.phase}: epoch ${record.epoch}/${epochs}: ${facts.join(', ')}`);
      }
      case 'note':
        // What is noted before the first epoch (proofs, measurements) is no part of its time.
        epochStart = now();
        return print(`note: ${event.text}`);
      case 'phase-end':
        meter = undefined;
        return print(`${event.phase}: done in ${since(phaseStart)}${event.summary ? `: ${event.summary}` : ''}`);
      case 'phase-skip':
        return print(`${event.phase}: skipped (${event.reason})`);
    }
  };
  return { listener: (event) => void listener(event), close: () => clearTimeout(silence) };
}
