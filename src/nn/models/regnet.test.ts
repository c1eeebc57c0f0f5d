// The stages that the parameters of each RegNet mean, against the paper's pictures of the networks (their figures 16
// and 17 as published: depths and widths).

import { expect, test } from 'vitest';
import { regnetParameters, regnetStages } from './regnet.ts';

const stages = {
  x: {
    '200m': '1×24 1×56 4×152 7×368',
    '400m': '1×32 2×64 7×160 12×384',
    '600m': '1×48 3×96 5×240 7×528',
    '800m': '1×64 3×128 7×288 5×672',
    '1.6g': '2×72 4×168 10×408 2×912',
    '3.2g': '2×96 6×192 15×432 2×1008',
    '4.0g': '2×80 5×240 14×560 2×1360',
    '6.4g': '2×168 4×392 10×784 1×1624',
    '8.0g': '2×80 5×240 15×720 1×1920',
    '12g': '2×224 5×448 11×896 1×2240',
    '16g': '2×256 6×512 13×896 1×2048',
    '32g': '2×336 7×672 13×1344 1×2520',
  },
  y: {
    '200m': '1×24 1×56 4×152 7×368',
    '400m': '1×48 3×104 6×208 6×440',
    '600m': '1×48 3×112 7×256 4×608',
    '800m': '1×64 3×128 8×320 2×768',
    '1.6g': '2×48 6×120 17×336 2×888',
    '3.2g': '2×72 5×216 13×576 1×1512',
    '4.0g': '2×128 6×192 12×512 2×1088',
    '6.4g': '2×144 7×288 14×576 2×1296',
    '8.0g': '2×168 4×448 10×896 1×2016',
    '12g': '2×224 5×448 11×896 1×2240',
    '16g': '2×224 4×448 11×1232 1×3024',
    '32g': '2×232 5×696 12×1392 1×3712',
  },
} as const;

for (const kind of ['x', 'y'] as const) {
  test.each(Object.entries(stages[kind]))(`RegNet${kind.toUpperCase()} %s`, (size, wanted) => {
    const found = regnetStages(regnetParameters(kind, size));
    expect(found.map(({ depth, width }) => `${depth}×${width}`).join(' ')).toBe(wanted);
    for (const { width, groupWidth } of found) expect(width % groupWidth).toBe(0);
  });
}
