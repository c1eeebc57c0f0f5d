// Settings beside which others can have an effect that have none by themselves, and other values for each.

import { type ConfigurationInput, withSetting } from '../src/flow/settings/config.ts';
import { choices, defaultValue, valueKind } from '../src/flow/settings/keys.ts';

/** For each path, in turn, one of these is enough. */
export const partners: readonly ConfigurationInput[] = [
  {},
  { sample: 10 },
  { train: { checkpoint: 'm.pth' } },
  { map: { multiplier: 'm.v' } },
  { map: { search: 'descent' } },
  { quantize: { observer: 'percentile' } },
  { quantize: { quantizer: 'steps' } },
  { quantize: { layerCost: 0.25 }, explore: { power: 0.1 } },
  { recover: { gradient: 'difference' } },
  ...(['train', 'quantize', 'explore', 'recover'] as const).flatMap((phase) =>
    [{}, { optimizer: 'adam' as const }, { schedule: 'step' as const }].map((more) => ({
      [phase]: { epochs: 5, ...more },
    })),
  ),
];

/** Values of a form of their own, or that only stand beside others. */
const special: Readonly<Record<string, ConfigurationInput>> = {
  image: { image: '28x28x1' },
  model: { model: 'resnet20' },
  mean: { mean: [0.485, 0.456, 0.406] },
  deviation: { deviation: [0.25] },
  'quantize.percentile': { quantize: { percentile: 99.5 } },
  'quantize.weightZero': { quantize: { quantizer: 'steps', weightZero: 'between' } },
  'quantize.layerBits': { quantize: { layerBits: ['first=8', '*.conv2=7x5'] } },
  ...Object.fromEntries(
    (['train', 'quantize', 'explore', 'recover'] as const).flatMap((phase) => [
      [`${phase}.rates`, { [phase]: { rates: ['*.bias=2', 'fc.*=0.5'] } }],
      [`${phase}.milestones`, { [phase]: { milestones: [2, 3.5] } }],
      [`${phase}.augment`, { [phase]: { augment: 'flip,cutmix:1' } }],
    ]),
  ),
  'quantize.layerCost': { quantize: { layerCost: 0.25 }, map: { multiplier: 'exact' } },
  'quantize.layerKinds': { quantize: { layerCost: 0.25, layerKinds: 5 }, explore: { grain: 'product' } },
  'explore.initiallyRemoved': { explore: { initiallyRemoved: 2 } },
  'map.errorBound': { explore: { harden: 0.5 }, map: { errorBound: 0.1 } },
  'recover.smoothing.weights': { recover: { gradient: 'difference', smoothing: { weights: 3 } } },
  'recover.smoothing.activations': { recover: { gradient: 'difference', smoothing: { activations: 3 } } },
};

/** Another value than the default at a path, with what it cannot stand without. */
export function changed(path: string): ConfigurationInput {
  if (special[path]) return special[path];
  const usual = defaultValue(path);
  const names = choices(path);
  if (names)
    return withSetting(
      {},
      path,
      names.find((name) => name !== usual),
    );
  const values = {
    boolean: !usual,
    integer: usual === 5 ? 6 : 5,
    number: 0.25,
    string: "a b/it's.csv",
    array: ['fc', 'conv1'],
  };
  return withSetting({}, path, values[valueKind(path) as keyof typeof values]);
}
