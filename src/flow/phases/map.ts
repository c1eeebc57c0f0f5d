// Phase 2: every distinct θ becomes a gate-level multiplier, proved equal in all its forms before anything uses it, and
// the network is measured with the multipliers as they are, before its weights have adapted to them. The operands that
// each multiplier meets are counted first: the search weighs its error by them, and they are kept beside the
// multiplier. A multiplier that the user brings takes the place of all of them on the quantised network, which has
// adapted to no other.

import type { Session } from '../../engine/backend.ts';
import type { OperandHistograms } from '../../multiplier/metrics.ts';
import { asSignedPatterns, sumOfOperands } from '../../multiplier/operands.ts';
import type { ProductTable } from '../../multiplier/table.ts';
import { describeCertificate } from '../../netlist/certify.ts';
import { describeDominated, dominatingExact } from '../../netlist/exact-cost.ts';
import { mapStructure } from '../../netlist/mapping/map.ts';
import { invariant } from '../../tensor/errors.ts';
import { evaluator } from '../../train/evaluation.ts';
import { checkModuleNames, writeImported, writeMultiplier } from '../../workbench/files.ts';
import { importMultiplier } from '../../workbench/import.ts';
import { knownTables, type Mappable, mappedArithmetic, mappedGateCost } from '../multipliers/mapped.ts';
import { arithmeticToMap, groupsOfWidths, kindsIn, structuresOf } from '../multipliers/multipliers.ts';
import { measureOperands } from '../multipliers/operands.ts';
import { type FoundStructure, foundStructures, parseTheta } from '../multipliers/theta.ts';
import { writeWeightCodes } from '../multipliers/weight-codes.ts';
import { exactMultiplierOf } from '../multipliers/widths.ts';
import { networkToMap, type RunContext, requirePhase, sessionFrom } from '../run/context.ts';
import { files } from '../run/folder.ts';
import { type MultiplierRecord, verifiedBytes } from '../run/manifest.ts';
import { approximateLayers, EXACT } from '../settings/layers.ts';
import { expectMapped } from './expected.ts';
import type { PhaseResult } from './result.ts';

export async function map(context: RunContext): Promise<PhaseResult> {
  const wanted = context.configuration.map.multiplier === EXACT ? await exactOnes(context) : structuresToMap(context);
  const session = await sessionFrom(context, ...networkToMap(context.configuration));
  try {
    return await mapAndMeasure(context, wanted, session);
  } finally {
    await session.dispose();
  }
}

interface Wanted extends Mappable, Pick<FoundStructure, 'name'> {}

/** For the layers of each pair of widths the cheapest exact multiplier. */
async function exactOnes({ configuration, layers }: RunContext): Promise<readonly Wanted[]> {
  const groups = groupsOfWidths(configuration, layers);
  const wanted: Wanted[] = [];
  for (const { name, widths, layers: own } of groups) {
    wanted.push({
      name: groups.length === 1 ? 'theta' : `${name}.theta`,
      layers: own.map((layer) => layer.name),
      theta: [],
      imported: await importMultiplier(exactMultiplierOf(widths).source, widths),
    });
  }
  return wanted;
}

/** The trained structures, or one without θ for all layers where the multiplier is given. */
function structuresToMap(context: RunContext): readonly Wanted[] {
  const { configuration, folder, layers, imported } = context;
  if (imported) {
    const all = approximateLayers(configuration, layers).map(({ name }) => name);
    return [{ name: 'theta', layers: all, theta: [], imported }];
  }
  const bytes = verifiedBytes(folder, requirePhase(context, 'explore'), files.theta);
  return foundStructures(parseTheta(bytes, files.theta), structuresOf(configuration, layers, kindsIn(context)));
}

async function mapAndMeasure(context: RunContext, wanted: readonly Wanted[], session: Session): Promise<PhaseResult> {
  const { configuration, dataset, task, listener, toCome } = context;
  const expect = (of: ReadonlyMap<string, ProductTable>) => expectMapped(context, of, ['map', ...toCome]);
  const known = knownTables(configuration, wanted);
  if (known) expect(known);
  const trained = arithmeticToMap(context);
  const operands = await measureOperands(session, task, trained, dataset.train, configuration.quantize.images);
  const written: string[] = [];
  const multipliers: MultiplierRecord[] = [];
  const tables = new Map<string, ProductTable>();
  checkModuleNames(wanted.map(multiplierName));
  for (const one of wanted) {
    const name = multiplierName(one);
    const met = sumOfOperands(one.layers.map((layer) => operands.get(layer)!));
    const made = makeMultiplier(context, one, name, met);
    written.push(...made.files);
    for (const layer of one.layers) tables.set(layer, made.table);
    multipliers.push({ name, layers: [...one.layers], theta: [...one.theta], ...made.record });
    listener({
      kind: 'note',
      text: `${name}: ${made.note}; ${describeCertificate(made.record.certificate)}`,
    });
  }
  if (!known) expect(tables);
  const arithmetic = mappedArithmetic(context, tables);
  await writeWeightCodes(session, arithmetic, operands);
  const evaluate = await evaluator(session, task, arithmetic, dataset.test);
  const { loss, metrics } = await evaluate();
  return {
    files: written,
    stages: [{ stage: 'mapped', accuracy: metrics.accuracy, loss, ...mappedGateCost(context, multipliers) }],
    multipliers,
  };
}

/** `multiplier`, or `multiplier-layer1.0.conv1` where each layer has its own. */
function multiplierName({ name }: { readonly name: string }): string {
  return name === 'theta' ? 'multiplier' : `multiplier-${name.replace(/\.theta$/, '')}`;
}

/** Maps θ, or takes the multiplier that the user brings; either way it is written and certified. */
function makeMultiplier(
  { configuration, folder, listener }: RunContext,
  { structure, theta, imported }: Wanted,
  name: string,
  met: OperandHistograms,
) {
  const { search, operands, costBudget, costWeight, errorBound } = configuration.map;
  if (imported) {
    const { table, source, operandOrder } = imported;
    for (const text of imported.notes) listener({ kind: 'note', text });
    const {
      certificate,
      gateCost,
      metrics,
      files: paths,
    } = writeImported(folder, imported, name, table.signed ? asSignedPatterns(met) : met);
    const record = { gateCost, mseToTarget: null, signed: table.signed, metrics, certificate, operandOrder };
    return { table, files: paths, record, note: `imported from ${source} (${operandOrder})` };
  }
  invariant(structure, `nothing to make ${name} from`);
  const { weightBits, activationBits } = structure;
  const mapped = mapStructure({
    weightBits,
    activationBits,
    theta,
    structure,
    search,
    ...(operands === 'measured' || search === 'exact' ? { histograms: met } : {}),
    ...(costBudget === undefined ? {} : { costBudget }),
    ...(costWeight === undefined ? {} : { costWeight }),
    ...(errorBound === undefined ? {} : { errorBound }),
  });
  const {
    certificate,
    metrics,
    files: paths,
  } = writeMultiplier(folder, mapped, name, met, configuration.explore.powerModel);
  const dominating = dominatingExact(mapped.table, mapped.network);
  if (dominating) {
    const instead = search === 'greedy' ? '; another --search does not end there' : '';
    listener({ kind: 'note', text: `${name} is dominated: ${describeDominated(dominating)}${instead}` });
  }
  const { gateCost } = mapped.structure;
  const record = { gateCost, mseToTarget: mapped.mseToTarget.after, signed: false, metrics, certificate };
  const note = `gate cost ${gateCost.toFixed(4)}, MSE to θ ${mapped.mseToTarget.after.toFixed(1)}`;
  return { table: mapped.table, files: paths, record, note };
}
