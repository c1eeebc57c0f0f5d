// Layers put together while they train (--types): at the end of an epoch layers that ask for like multipliers become
// kinds, and each kind goes on with one θ. What any number of kinds would cost is measured there, on training images,
// before the weights have adapted to it.
// A layer counts by its share of the multiplications, which is what its power is worth, and by its sensitivity, which
// is what its accuracy is: by how much the loss rises when it takes the mean of all multipliers.

import { sampleOf } from '../../data/sample.ts';
import type { Session } from '../../engine/backend.ts';
import { powerShares } from '../../multiplier/structure.ts';
import { f32, type HostTensor } from '../../tensor/tensor.ts';
import { type Evaluator, evaluator } from '../../train/evaluation.ts';
import { hardTheta } from '../../train/hardening.ts';
import { powerAt, readStructures } from '../../train/step.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import { exactPowerOf, powerTerm, type RunStructure, structuresOf } from '../multipliers/multipliers.ts';
import { distance, type Kind, kindsOf, type Member, meanOf } from '../multipliers/types.ts';
import type { RunContext } from '../run/context.ts';
import type { TypesRecord } from '../run/manifest.ts';
import { approximateLayers } from '../settings/layers.ts';
import { PART, SAMPLE } from './target.ts';

/** Share of the epochs of exploration behind which layers are put together; one epoch at least. */
const PUT_TOGETHER = 0.4;
/** Numbers of kinds that are measured, beside the one that is wanted and one for each layer. */
const NUMBERS = [1, 2, 3, 5, 8];

/** How many kinds the layers of a run become behind which epoch; undefined where all keep their own. */
export function groupingOf({ configuration, layers }: Pick<RunContext, 'configuration' | 'layers'>) {
  const { types, epochs } = configuration.explore;
  if (!types || types >= approximateLayers(configuration, layers).length) return undefined;
  return { types, epoch: Math.max(1, Math.round(PUT_TOGETHER * epochs)) };
}

/** A session in which every layer has its own θ. */
interface PerLayer {
  readonly session: Session;
  readonly arithmetic: QuantizedArithmetic;
}

/** The kinds of a number of types, none for all, and what each number would cost with the network as it is. */
export async function groupLayers(
  context: RunContext,
  { session, arithmetic }: PerLayer,
  types: number | undefined,
): Promise<TypesRecord> {
  const { configuration, layers, dataset, task } = context;
  const structures = structuresOf(configuration, layers);
  const count = Math.min(SAMPLE, Math.ceil(PART * dataset.train.count));
  const split = sampleOf(dataset.train, count, configuration.seed);
  const evaluate = await evaluator(session, task, arithmetic, split);
  try {
    const before = await read(
      session,
      structures.map(({ name }) => name),
    );
    const members = await membersOf(context, session, structures, evaluate);
    const costs = powerShares(structures[0]!.structure);
    const numbers = [...new Set([...NUMBERS, ...(types ? [types] : [])])].filter((one) => one < members.length);
    const table: TypesRecord['table'][number][] = [];
    for (const number of [...numbers.sort((a, b) => a - b), members.length]) {
      table.push(await measured(context, session, evaluate, kindsOf(members, costs, number)));
    }
    write(session, before);
    const kinds = types
      ? kindsOf(members, costs, types).map((kind, at) => ({
          name: `type${at + 1}`,
          layers: kind.members.map(({ name }) => name),
          weights: kind.members.map(({ weight }) => weight),
        }))
      : undefined;
    return { ...(kinds ? { kinds } : {}), table, images: count };
  } finally {
    await evaluate.dispose();
  }
}

async function membersOf(
  { configuration, layers }: RunContext,
  session: Session,
  structures: readonly RunStructure[],
  evaluate: Evaluator<'accuracy'>,
): Promise<Member[]> {
  const term = powerTerm(configuration, layers);
  const { theta } = await readStructures(session, term);
  const shares = new Map(term.structures.map((one) => [one.theta, one.share]));
  const byMacs = structures.map(({ name, layers: [layer] }) => {
    return { name: layer!.name, theta: theta[name]!, weight: shares.get(name)! };
  });
  const mean = meanOf(byMacs);
  const costs = powerShares(structures[0]!.structure);
  const { loss } = await evaluate();
  const sensitivities: number[] = [];
  for (const [at, { name }] of structures.entries()) {
    const away = distance(byMacs[at]!.theta, mean, costs);
    if (away === 0) {
      sensitivities.push(0);
      continue;
    }
    const own = await session.read(name);
    session.write(name, f32([mean.length], mean));
    sensitivities.push(Math.max(0, (await evaluate()).loss - loss) / away);
    session.write(name, own);
  }
  const all = sensitivities.reduce((sum, one) => sum + one, 0);
  return byMacs.map((member, at) => {
    const part = all > 0 ? sensitivities[at]! / all : member.weight;
    return { ...member, weight: (member.weight + part) / 2 };
  });
}

/** The network with a number of kinds, before it has adapted to them; θ that are all 0 and 1 stay so. */
async function measured(
  { configuration, layers }: RunContext,
  session: Session,
  evaluate: Evaluator<'accuracy'>,
  kinds: readonly Kind[],
): Promise<TypesRecord['table'][number]> {
  const isHard = kinds.every(({ members }) =>
    members.every(({ theta }) => theta.every((one) => one === 0 || one === 1)),
  );
  const named = kinds.map(({ members }, at) => ({ name: `${at}`, layers: members.map(({ name }) => name) }));
  const together = powerTerm(configuration, layers, named);
  const centres = kinds.map(({ centre }) => centre);
  const thetas = isHard ? hardTheta(centres, (values) => powerAt(together, values)) : centres;
  kinds.forEach(({ members }, kind) => {
    for (const { name } of members) session.write(`${name}.theta`, f32([thetas[kind]!.length], thetas[kind]!));
  });
  const { loss, metrics } = await evaluate();
  const power = powerAt(together, thetas) * exactPowerOf(configuration);
  return { types: kinds.length, power, accuracy: metrics.accuracy, loss };
}

/**
 * Another session with all that the network and its optimisers have in this one, but with one θ for each kind: the mean
 * of its layers', and so of what the optimiser keeps of them.
 */
export async function regrouped(
  { backend }: Pick<RunContext, 'backend'>,
  from: Session,
  kinds: NonNullable<TypesRecord['kinds']>,
): Promise<Session> {
  const to = await backend.openSession();
  const own = new Map<string, string>(
    kinds.flatMap(({ name, layers }) => layers.map((layer) => [`${layer}.theta`, name] as const)),
  );
  const names = from.variableNames();
  for (const name of names) if (!own.has(name.split('#')[0]!)) to.write(name, await from.read(name));
  for (const { name, layers, weights } of kinds) {
    const first = `${layers[0]}.theta`;
    for (const variable of names.filter((one) => one === first || one.startsWith(`${first}#`))) {
      const suffix = variable.slice(first.length);
      const parts = await Promise.all(layers.map((layer) => from.read(`${layer}.theta${suffix}`)));
      const members = parts.map(({ data }, at) => ({
        name: layers[at]!,
        theta: Array.from(data),
        weight: weights[at]!,
      }));
      to.write(`${name}.theta${suffix}`, f32(parts[0]!.shape, meanOf(members)));
    }
  }
  return to;
}

async function read(session: Session, names: readonly string[]): Promise<[string, HostTensor][]> {
  return await Promise.all(names.map(async (name) => [name, await session.read(name)] as [string, HostTensor]));
}

function write(session: Session, tensors: readonly (readonly [string, HostTensor])[]): void {
  for (const [name, tensor] of tensors) session.write(name, tensor);
}
