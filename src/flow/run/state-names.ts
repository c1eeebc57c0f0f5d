// Whose tensor is which: the names of a state dict brought to those of a model. Names may stand behind a prefix,
// however nested (`module.`, `_orig_mod.`, `model.`), and may be those of another collection of models; which prefix
// and which collection is told by how many of the model's names come out. Nothing is guessed from shapes or from
// order.

import { UserError } from '../../tensor/errors.ts';

/** A collection's names, as substitutions that lead from them to the ones used here; or the other way round. */
interface Renaming {
  /** For people: whose names. */
  readonly of: string;
  readonly rename: (name: string) => string;
}

const replacing = (rules: readonly (readonly [RegExp, string])[]) => (name: string) =>
  rules.reduce((renamed, [pattern, by]) => renamed.replace(pattern, by), name);

/** The stage that a patch merging belongs to moved with timm 0.9 from the one before it to the one behind it. */
const moveMerging = (by: number) => (name: string) =>
  name.replace(
    /(^|\.)layers\.(\d+)\.downsample\./,
    (_, before, stage) => `${before}layers.${Number(stage) + by}.downsample.`,
  );
const classifierOf = replacing([[/(^|\.)head\.(weight|bias)$/, '$1head.fc.$2']]);
const classifierAt = replacing([[/(^|\.)head\.fc\.(weight|bias)$/, '$1head.$2']]);

const renamings: readonly Renaming[] = [
  { of: '', rename: (name) => name },
  {
    of: 'pytorch-cifar (shortcut, linear)',
    rename: replacing([
      [/(^|\.)shortcut\./, '$1downsample.'],
      [/(^|\.)linear\.(weight|bias)$/, '$1fc.$2'],
    ]),
  },
  {
    of: 'torchvision (downsample, fc)',
    rename: replacing([
      [/(^|\.)downsample\./, '$1shortcut.'],
      [/(^|\.)fc\.(weight|bias)$/, '$1linear.$2'],
    ]),
  },
  { of: 'the published Swin and timm before 0.9', rename: (name) => classifierOf(moveMerging(1)(name)) },
  { of: 'timm since 0.9', rename: (name) => classifierAt(moveMerging(-1)(name)) },
  {
    of: "torchvision's ViT",
    rename: replacing([
      [/(^|\.)encoder\.layers\.encoder_layer_(\d+)\./, '$1blocks.$2.'],
      [/\.self_attention\.in_proj_(weight|bias)$/, '.attn.qkv.$1'],
      [/\.self_attention\.out_proj\./, '.attn.proj.'],
      [/\.ln_([12])\./, '.norm$1.'],
      [/\.mlp\.(?:linear_1|0)\./, '.mlp.fc1.'],
      [/\.mlp\.(?:linear_2|3)\./, '.mlp.fc2.'],
      [/(^|\.)conv_proj\./, '$1patch_embed.proj.'],
      [/(^|\.)class_token$/, '$1cls_token'],
      [/(^|\.)encoder\.pos_embedding$/, '$1pos_embed'],
      [/(^|\.)encoder\.ln\./, '$1norm.'],
      [/(^|\.)heads\.head\./, '$1head.'],
    ]),
  },
];

export interface NamesFound {
  /** What stood before all names: "", "module.", "_orig_mod.module.". */
  readonly prefix: string;
  /** Whose names they were, where not those used here; for people. */
  readonly renamedFrom: string;
  /** The file's name of each of the wanted ones that is there. */
  readonly found: ReadonlyMap<string, string>;
  /** What is left, by the names that it has in the file, without the prefix where it has it. */
  readonly left: readonly { readonly name: string; readonly inFile: string }[];
}

/** The reading of the names that finds most of the wanted ones. Two for one name are a UserError. */
export function findNames(names: readonly string[], wanted: ReadonlySet<string>, file: string): NamesFound {
  let best = { renaming: renamings[0]!, prefix: '', count: 0 };
  for (const renaming of renamings) {
    for (const [prefix, count] of countPrefixes(names.map(renaming.rename), wanted)) {
      if (
        count > best.count ||
        (count === best.count && renaming === best.renaming && prefix.length < best.prefix.length)
      ) {
        best = { renaming, prefix, count };
      }
    }
  }
  const { renaming, prefix } = best;
  const found = new Map<string, string>();
  const left: { name: string; inFile: string }[] = [];
  for (const inFile of names) {
    const renamed = renaming.rename(inFile);
    const name = renamed.startsWith(prefix) ? renamed.slice(prefix.length) : renamed;
    if (!renamed.startsWith(prefix) || !wanted.has(name)) {
      left.push({ name: inFile.startsWith(prefix) ? inFile.slice(prefix.length) : inFile, inFile });
      continue;
    }
    const other = found.get(name);
    if (other !== undefined)
      throw new UserError(`${file}: the tensors '${other}' and '${inFile}' both stand for ${name}`);
    found.set(name, inFile);
  }
  return { prefix, renamedFrom: renaming.of, found, left };
}

/** How many of the wanted names each prefix would give. */
function countPrefixes(names: readonly string[], wanted: ReadonlySet<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) {
    for (let at = 0; at >= 0; at = name.indexOf('.', at) + 1 || -1) {
      if (wanted.has(name.slice(at))) counts.set(name.slice(0, at), (counts.get(name.slice(0, at)) ?? 0) + 1);
    }
  }
  return counts;
}
