// Exact multipliers of fewer bits in the run's network: post-training quantisation of its float model to each pair of
// widths, measured on the test images; with `recovered` retrained then as the run's own multiplier is in phase 3. They
// are what an approximate multiplier has to beat, and the report sets them beside it.
// Invariants: nothing of the run changes; each width is kept the moment it is measured, so that what was interrupted
// goes on behind it; the work without retraining is bounded by one pass over the test images for each of a handful of
// widths.

import { UserError } from '../../tensor/errors.ts';
import { sha256, writeJsonInside } from '../../tensor/files.ts';
import { percent } from '../../tensor/numbers.ts';
import { evaluateOnce } from '../../train/evaluation.ts';
import { version } from '../../version.ts';
import type { OperandBits } from '../../workbench/import.ts';
import { Technology } from '../../workbench/synthesised-power.ts';
import { synthesisedExact, synthesisedNetwork } from '../multipliers/synthesised.ts';
import { narrowerWidths, widthName } from '../multipliers/widths.ts';
import { type Rival, type Rivals, rivalsSchema } from '../results/rivals.ts';
import { type RunContext, requirePhase } from '../run/context.ts';
import { files, inFolder } from '../run/folder.ts';
import { verifiedBytes, withoutSearchedWidths } from '../run/manifest.ts';
import { settingsOf } from '../settings/phases.ts';
import { startUnder } from '../start/start.ts';
import { keptUnder } from './kept.ts';
import { quantizeAfterTraining } from './post-training.ts';
import type { PhaseResult } from './result.ts';
import { retrain } from './retraining.ts';

/** So many netlists of a run are synthesised, at a few seconds each once; of more the gates are told alone. */
const MOST_SYNTHESISED = 8;

export async function rivals(context: RunContext): Promise<PhaseResult> {
  const { configuration, folder, manifest, listener, signal } = context;
  const facts = sha256(
    JSON.stringify([
      version,
      settingsOf(configuration, 'rivals', manifest.inputs),
      manifest.inputs.data.sha256,
      requirePhase(context, 'train').files[files.float],
    ]),
  );
  const known = keptUnder(facts, inFolder(context, files.rivals), rivalsSchema)?.rivals ?? [];
  const measured: Rival[] = [];
  const write = (more: Partial<Rivals> = {}) =>
    writeJsonInside(folder, files.rivals, {
      ...{ format: 'tram-rivals', version: 1, facts, rivals: measured },
      ...more,
    } satisfies Rivals);
  for (const bits of narrowerWidths(configuration.bits)) {
    signal?.throwIfAborted();
    const name = widthName(bits);
    const rival = known.find((one) => widthName(one.bits) === name) ?? (await measure(context, bits));
    measured.push(rival);
    write();
    const retrained = rival.recovered ? `, retrained ${percent(rival.recovered.accuracy)}` : '';
    listener({ kind: 'note', text: `exact ${name}: ${percent(rival.plain.accuracy)}${retrained}` });
  }
  const costs = await synthesise(context, measured);
  if (costs) {
    measured.splice(0, measured.length, ...costs.rivals);
    write({ synthesised: costs.own });
  }
  return { files: [files.rivals], stages: [] };
}

/** The run's network with exact multipliers of these widths in the layers that are approximated. */
async function measure(context: RunContext, bits: OperandBits): Promise<Rival> {
  const { configuration, backend, task, dataset, listener, signal } = context;
  // Widths that were searched for layers are the run's own.
  const {
    layerCost: _,
    layerKinds: __,
    ...quantize
  } = withoutSearchedWidths({ configuration, phases: context.manifest.phases }).quantize;
  const narrower = { ...context, configuration: { ...configuration, bits, quantize } };
  const session = await backend.openSession();
  try {
    const float = verifiedBytes(context.folder, requirePhase(context, 'train'), files.float);
    const arithmetic = await quantizeAfterTraining(narrower, float, session);
    const { loss, metrics } = await evaluateOnce(session, task, arithmetic, dataset.test);
    const plain = { accuracy: metrics.accuracy, loss };
    if (configuration.rivals !== 'recovered') return { bits, plain };
    const { epochs } = configuration.recover;
    await startUnder(narrower, session, { from: arithmetic, to: arithmetic }, 'recover');
    const onEpoch = (epoch: number, { accuracy }: { accuracy: number }) =>
      listener({ kind: 'note', text: `exact ${widthName(bits)}: epoch ${epoch} of ${epochs}, ${percent(accuracy)}` });
    return { bits, plain, recovered: await retrain(context, { session, arithmetic, epochs, onEpoch, signal }) };
  } finally {
    await session.dispose();
  }
}

/**
 * Synthesised power of the run's multipliers and of the rivals, in the built-in technology; undefined where a
 * multiplier has no netlist or there are too many.
 */
async function synthesise(context: RunContext, measured: readonly Rival[]) {
  const { configuration, folder, layers, listener } = context;
  const record = requirePhase(context, 'map');
  if ((record.multipliers ?? []).length > MOST_SYNTHESISED) return undefined;
  const technology = new Technology();
  try {
    const macs = new Map(layers.map((layer) => [layer.name, layer.macs]));
    const own = await synthesisedNetwork(folder, record, macs, technology);
    if (own === undefined) return undefined;
    const rivals: Rival[] = [];
    for (const rival of measured)
      rivals.push({ ...rival, synthesised: (await synthesisedExact(rival.bits, technology)).relative.power });
    const exact = (await synthesisedExact(configuration.bits, technology)).relative.power;
    const { library } = await technology.reference();
    return { rivals, own: { library, own, exact } };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    listener({ kind: 'note', text: `not synthesised: ${error.message}` });
    return undefined;
  } finally {
    await technology.close();
  }
}
