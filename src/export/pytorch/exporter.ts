// A network at rest as a folder for PyTorch: one readable file without other dependencies, its weights, the tables of
// its multipliers, and what the program computed for the first test images, with which the file compares itself.
// Invariant: everything in the folder is of one network; what the file says is equal has been compared by it.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Value } from '../../engine/graph/graph.ts';
import type { FrozenNetwork } from '../../integer/frozen.ts';
import { codeOfPattern } from '../../multiplier/operands.ts';
import { writeNpy } from '../../netlist/formats/npy.ts';
import { UserError } from '../../tensor/errors.ts';
import { encodeSafetensors } from '../../tensor/safetensors.ts';
import { type HostTensor, tensor } from '../../tensor/tensor.ts';
import { encodeTorch, type TensorTree } from '../../tensor/torch-writer.ts';
import type { ExportFiles, ExportInput } from '../exporter.ts';
import { Identifiers } from '../identifiers.ts';
import { constantsOf, execute, type LayerRecord } from './execution.ts';
import { Forward } from './forward.ts';
import { Modules, permuted } from './modules.ts';
import { isExact } from './operations.ts';
import { plainText } from './python.ts';
import { dependentOn, type Step, stepsOf } from './steps.ts';

/** The parts of the written file that are the same for every network. */
const TEMPLATE = join(import.meta.dirname, 'template.py');
/** Where the network stands in it, and what is left out where no layer needs it. */
const PLACE = '# NETWORK\n';

/** The folder's files: network.py, weights.pth, weights.safetensors, golden.pth, tables/. Throws a UserError. */
export async function exportPyTorch({ frozen, images }: Pick<ExportInput, 'frozen' | 'images'>): Promise<ExportFiles> {
  if (images.count === 0) throw new UserError('pytorch: no test images to compare with; give --images 1 or more');
  const { text, modules } = await networkText(frozen);
  const { logits, layers, followed } = await execute(frozen, modules.followed, images);
  const [, height, width, channels] = frozen.image.shape as [number, number, number, number];
  const pixels = tensor('u8', [images.count, height, width, channels], images.pixels);
  const golden: TensorTree = new Map<string, HostTensor | TensorTree>([
    ['images', permuted(pixels, [0, 3, 1, 2])],
    ['labels', tensor('i32', [images.count], images.labels)],
    ['logits', logits],
    [
      'followed',
      tensor(
        'i32',
        [followed],
        Int32Array.from({ length: followed }, (_, image) => image),
      ),
    ],
    ['codes', recordsOf(modules, layers, 'codes')],
    ['sums', recordsOf(modules, layers, 'sums')],
  ]);
  return new Map<string, string | Uint8Array>([
    ['network.py', text],
    ['weights.pth', encodeTorch(modules.tensors)],
    ['weights.safetensors', encodeSafetensors(modules.tensors, { format: 'pt' })],
    ['golden.pth', encodeTorch(golden)],
    ...[...modules.tables].map(([name, { table }]) => [`tables/${name}.npy`, writeNpy(table)] as const),
  ]);
}

/** Codes as bit patterns of operands, sums as they are, in the order in which the layer has them in PyTorch. */
function recordsOf(
  { followed }: Modules,
  layers: ReadonlyMap<string, LayerRecord>,
  what: keyof LayerRecord,
): TensorTree {
  return new Map(
    followed.map(({ name, kind, signedBits }) => {
      const { dtype, shape, data } = layers.get(name)![what];
      const isPattern = what === 'codes' && signedBits !== undefined;
      const found = isPattern ? data.map((code) => codeOfPattern(code, signedBits)) : data;
      const record = tensor(dtype, shape, found);
      return [name, kind === 'linear' ? record : permuted(record, [0, 3, 1, 2])];
    }),
  );
}

/** network.py, and the modules that it has. Throws a UserError. */
export async function networkText(
  frozen: FrozenNetwork,
): Promise<{ readonly text: string; readonly modules: Modules }> {
  const steps = stepsOf(frozen);
  const modules = new Modules(frozen, await constantsOf(frozen, constantsOfSteps(frozen, steps)));
  const helpers = new Helpers();
  const forward = new Forward(frozen, modules, (wanted, linesOf) => helpers.add(wanted, linesOf)).write();
  const isReproduced = steps.every((step) => isExact(step.kind === 'layer' ? step.product : step.node));
  const multipliers = [...modules.tables].map(([name, { table }]) => {
    return `        ${name} = ProductTable("${name}"${table.signed ? ', signed=True' : ''})`;
  });
  const network = [
    ...helpers.lines,
    ...['class Network(nn.Module):', `    """${plainText(frozen.model)}: images uint8 [N, C, H, W] to logits."""`, ''],
    ...['    def __init__(self):', '        super().__init__()', ...multipliers],
    ...(multipliers.length > 0 ? [''] : []),
    ...[...modules.lines, '', '    def forward(self, image):', ...forward, '', ''],
    ...(isReproduced
      ? ['# Every operation rounds as in the program: images give its codes and logits from end to end.']
      : ['# Some sums are rounded in another order than in the program: now and then a code differs by 1.']),
    `EXACT = ${isReproduced ? 'True' : 'False'}`,
  ];
  const [before, behind] = readFileSync(TEMPLATE, 'utf8').split(PLACE) as [string, string];
  const text = `${before.replace('TITLE', titleOf(frozen))}${network.join('\n')}\n${behind}`;
  return { text, modules };
}

const titleOf = ({
  model,
  stage,
}: FrozenNetwork): string => `${plainText(model)}, the network of the stage ${plainText(stage)}

Every product of a layer is looked up in the table of its multiplier, and sums are integers.

  python3 network.py              compare with what the program computed for the stored test images
  python3 network.py --accuracy   classify the stored test images
`;

/** Every value that a step reads and that does not depend on the image. */
function constantsOfSteps({ graph, image }: FrozenNetwork, steps: readonly Step[]): Value[] {
  const dependent = dependentOn(graph, image);
  const read = steps.flatMap((step) =>
    step.kind === 'layer' ? [...step.product.inputs, ...(step.bias ? [step.bias] : [])] : step.node.inputs,
  );
  return [...new Set(read.filter((value) => !dependent.has(value)))];
}

/** Functions beside the network, each once. */
class Helpers {
  readonly lines: string[] = [];
  readonly #names = new Identifiers([
    'torch',
    'nn',
    'F',
    'Network',
    'ProductTable',
    'operands',
    'pair',
    'load',
    'main',
  ]);
  readonly #known = new Map<string, string>();

  add(wanted: string, linesOf: (name: string) => readonly string[]): string {
    const key = linesOf('').join('\n');
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    // No name of the file's, of a line's or of Python's begins so.
    const name = this.#names.add(`formula ${wanted}`);
    this.#known.set(key, name);
    this.lines.push(...linesOf(name), '', '');
    return name;
  }
}
