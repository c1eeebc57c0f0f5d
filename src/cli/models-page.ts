// docs/models.md: every model with its figures, from the definitions themselves, and the methods that one of your own
// is made of, from the layer library's text. scripts/models-doc.mjs writes the file and a test compares it.

import type { ModelFacts } from '../flow/models.ts';
import { grouped } from './style.ts';

const INTRODUCTION = `# Models

Made by \`npm run build && node scripts/models-doc.mjs\` from the definitions (\`src/nn/models\`, a family per file). \`tram models\` prints the same
table, \`tram models NAME\` the layers of one.

**Names.** A name without a prefix is a form for images of the size of CIFAR's, as the published program
has it. \`imagenet/NAME\` is that program's definition for ImageNet, \`torchvision/NAME\` that library's; the transformers have timm's names, which say patch and
image size. Tensors have the names and shapes of the state dicts there, so that checkpoints load. A network may stand in two collections:
\`imagenet/resnet18\` and \`torchvision/resnet18\` are one definition.

**What is approximated.** Unless \`--exact-layers\` says otherwise, the convolutions of convolutional networks;
their linear layers stay exact; in transformers the linear layers of attention and feed-forward blocks. Figures are for
the image size and classes of the table; other sizes work from the least size of the model on, other numbers of classes always.

**How they are known to be right.** Where \`reference/models\` has a file, names, shapes, parameters and
multiplications are equal to PyTorch's, and logits, loss, gradients and running statistics are as near as float32 carries (\`test/models/reference.ts\`; large ones on a GPU: \`npm run test:gpu\`).
`;

const OWN = `## A model of your own
1. Write a file whose default export is a function from an image to logits:

   \`\`\`js
   // mynet.mjs
   /** @type {import('tram-axm').ModelBuilder} */
   export default (nn, image, classes) => {
     let x = nn.conv('conv1', image, { out: 16, kernel: 3, padding: 1 });
     x = nn.relu(nn.batchNorm('bn1', x));
     x = nn.conv('conv2', x, { out: 32, kernel: 3, stride: 2, padding: 1 });
     x = nn.relu(nn.batchNorm('bn2', x));
     return nn.linear('fc', nn.globalAveragePool(x), classes);
   };
   \`\`\`

   \`image\` is [N, height, width, channels]; what it returns is [N, classes]. The first argument of a layer names its tensors (\`conv1.weight\`): with PyTorch's names
   your checkpoints load. [examples/own-model.mjs](../examples/own-model.mjs) has depthwise convolutions and blocks. A model may also be an object with \`build\`, \`minimumSize\` and \`card\`
   (\`Model\` of the package).
   Images have the channel last, PyTorch's have it first: weights are translated, but a linear layer behind a flattened image reads its rows in PyTorch's order only
   through \`nn.flatten(x)\`, not through \`nn.reshape\`.
2. Look at it: \`tram models ./mynet.mjs --image 28x28x1 --classes 10\` lists its layers. A mistake is told with the line of your file.
3. Train, quantise, explore, map and recover it: \`tram run --model ./mynet.mjs --data DATA\`. The line \`@type\` gives your editor the types, where the package is installed.
4. The run keeps the file's hash, not the file: whoever goes on with the run has the same file at the same place. A changed one is refused by its name; use another folder
   for it. What the file imports is not watched.

From a program, hand the same object to \`runFlow({ model, … })\`: [examples/own-network.ts](../examples/own-network.ts). A file is a program: it runs with your rights, so run only
files that you trust.
`;

/** The page from the models' figures and the text of src/nn/layers.ts. */
export function modelsPage(list: readonly ModelFacts[], layersText: string): string {
  const rows = list.map(({ name, parameters, macs, layers, image, classes, source }) => [
    `\`${name}\``,
    ...[grouped(parameters), grouped(macs), String(layers.length), image.slice(0, 2).join('×'), String(classes)],
    source ?? '',
  ]);
  const heads = ['model', 'parameters', 'MACs of an image', 'layers that multiply', 'image', 'classes', 'comes from'];
  const methods = methodsOf(layersText).map(({ call, text }) => [`\`${call}\``, text]);
  return [
    INTRODUCTION,
    `## The models\n${markdown(heads, ['---', '--:', '--:', '--:', '--:', '--:', '---'], rows)}\n`,
    OWN,
    `### What models are made of\nThe methods of \`nn\`; \`x\` and other values are tensors of the network, the channel axis last.\n\n${markdown(['method', 'does'], ['---', '---'], methods)}\n`,
  ].join('\n');
}

function markdown(heads: readonly string[], aligns: readonly string[], rows: readonly (readonly string[])[]): string {
  return [heads, aligns, ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');
}

/** The public methods of the class Layers, in its order: how each is called, and its comment. */
export function methodsOf(text: string): { readonly name: string; readonly call: string; readonly text: string }[] {
  const found = text.matchAll(/\n {2}\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n {2}(\w+)\(([\s\S]*?)\): Value(?:\[\])? \{/g);
  return [...found].map(([, comment, name, parameters]) => ({
    name: name!,
    call: `${name}(${argumentsOf(parameters!)})`,
    text: comment!.replace(/\s*\n\s*\*\s?/g, ' ').trim(),
  }));
}

/** Names alone; an options object by its own. */
function argumentsOf(parameters: string): string {
  const flat = parameters.replace(/\s+/g, ' ').replace(/\{[^}]*\}(?=: \w+Options)/, 'options');
  return flat
    .split(/, (?=\w+\??(?::| =))|, (?=options)/)
    .map((one) => one.trim().replace(/,$/, ''))
    .filter((one) => one !== '')
    .map((one) => /^\w+/.exec(one)![0] + (/ = |\?:/.test(one) ? '?' : ''))
    .join(', ');
}
