// A file of tensors of any kind, told by what is in it: safetensors, or what torch.save wrote. What it holds is laid
// out as dictionaries of tensors: a state dict, and those that stand beside or inside another dictionary, as training
// scripts write them. Nothing of a tensor is read before it is asked for.

import { UserError } from './errors.ts';
import { kindOf, type Pickled } from './pickle.ts';
import { entriesOf } from './safetensors.ts';
import { type ByteSource, openSource } from './source.ts';
import type { StoredTensor } from './stored.ts';
import { isLegacyTorch, readTorchLegacy, readTorchZip, TorchTensor } from './torch.ts';
import { isZip } from './zip.ts';

/** A dictionary that holds tensors. */
export interface TensorDictionary {
  /** Its keys from the outside in: "" for the file itself, "state_dict", "optimizer.state.0". */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** What else stands there, with a word for it: numbers and texts themselves, "a list", "F4". */
  readonly others: ReadonlyMap<string, string>;
}

export interface TensorFile {
  readonly name: string;
  readonly format: 'safetensors' | 'PyTorch' | 'PyTorch before 1.6' | 'ONNX';
  /** Those with a tensor, in the order of the file, the outermost first. */
  readonly dictionaries: readonly TensorDictionary[];
  /** What stands around them, as `others`; of safetensors its metadata. */
  readonly facts: ReadonlyMap<string, string>;
  close(): void;
}

const MOST_DICTIONARIES = 65536;
const DEEPEST = 12;
const LONGEST_FACT = 100;

/** Opens a file; its tensors can be read until it is closed. Throws a UserError that names the file and the place. */
export function openTensorFile(path: string): TensorFile {
  const source = openSource(path);
  try {
    return tensorFile(source);
  } catch (error) {
    source.close();
    throw error;
  }
}

/** The same of any bytes. */
export function tensorFile(source: ByteSource): TensorFile {
  const start = source.read(0, Math.min(source.size, 512));
  const common = { name: source.name, close: () => source.close() };
  if (isZip(start)) return { ...common, format: 'PyTorch', ...layOut(readTorchZip(source), source.name) };
  if (isLegacyTorch(start)) {
    return { ...common, format: 'PyTorch before 1.6', ...layOut(readTorchLegacy(source), source.name) };
  }
  if (start[0] === 0x80 && start[1]! <= 5) {
    throw new UserError(
      `${source.name} is a pickle, but not one of torch.save; in Python: torch.save(state_dict, FILE)`,
    );
  }
  if (Buffer.from(start.subarray(257, 262)).equals(Buffer.from('ustar'))) {
    throw new UserError(`${source.name} is a tar archive; unpack it, or save it again with torch.save`);
  }
  const { tensors, others, metadata } = entriesOf(source);
  return {
    ...common,
    format: 'safetensors',
    dictionaries: [{ path: '', tensors, others }],
    facts: new Map(Object.entries(metadata).map(([key, value]) => [key, clip(value)])),
  };
}

/** Finds the dictionaries (and lists) with tensors in what a pickle held, which may be any graph. */
function layOut(value: Pickled, file: string): Pick<TensorFile, 'dictionaries' | 'facts'> {
  if (!(value instanceof Map)) {
    throw new UserError(
      `${file} holds ${nameOf(value)}, a dictionary of tensors was expected: torch.save(state_dict, FILE)`,
    );
  }
  const dictionaries: TensorDictionary[] = [];
  const facts = new Map<string, string>();
  const seen = new Set<object>([value]);
  let level: { readonly path: string; readonly inner: Pickled }[] = [{ path: '', inner: value }];
  for (let depth = 0; level.length > 0 && depth < DEEPEST; depth++) {
    const next: typeof level = [];
    for (const { path, inner } of level) {
      const tensors = new Map<string, StoredTensor>();
      const others = new Map<string, string>();
      for (const [key, element] of entriesIn(inner)) {
        const name = String(key);
        if (tensors.has(name))
          throw new UserError(`${file}: the name '${name}' stands for two tensors of ${path || 'it'}`);
        if (element instanceof TorchTensor) tensors.set(name, element);
        else others.set(name, clip(nameOf(element)));
        const isNew = (element instanceof Map || Array.isArray(element)) && !seen.has(element);
        if (isNew) {
          seen.add(element);
          next.push({ path: path === '' ? name : `${path}.${name}`, inner: element });
        }
      }
      if (tensors.size > 0) dictionaries.push({ path, tensors, others });
      else if (depth === 0) for (const [name, what] of others) facts.set(name, what);
      if (dictionaries.length > MOST_DICTIONARIES)
        throw new UserError(`${file}: more than ${MOST_DICTIONARIES} dictionaries`);
    }
    level = next;
  }
  return { dictionaries, facts };
}

const entriesIn = (value: Pickled): Iterable<[Pickled, Pickled]> =>
  value instanceof Map ? value : Array.isArray(value) ? value.entries() : [];

function nameOf(value: Pickled): string {
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return JSON.stringify(clip(value));
  if (value instanceof TorchTensor) return 'a tensor';
  if (value instanceof Map || Array.isArray(value)) {
    const count = value instanceof Map ? value.size : value.length;
    return `${kindOf(value)} of ${count}`;
  }
  return kindOf(value);
}

const clip = (text: string) => (text.length > LONGEST_FACT ? `${text.slice(0, LONGEST_FACT)}…` : text);
