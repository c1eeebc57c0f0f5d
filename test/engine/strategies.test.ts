// The emulation strategies agree to the last bit where several apply: a mapped truncation as bit planes and as a table,
// and the exact multiplier as itself, as planes that remove nothing and as a table of zeros; for several widths and
// layer geometries, on each backend.

import { describe, expect, test } from 'vitest';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import type { ProductError } from '../../src/multiplier/error.ts';
import { errorOfRemoval } from '../../src/multiplier/removal.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, tensor } from '../../src/tensor/tensor.ts';
import { type Case, cases, codes } from './cases.ts';
import { runCase } from './run-case.ts';

const backends = [referenceBackend(), wasmBackend({ threads: 2 })];
const widths: [weightBits: number, activationBits: number][] = [
  [8, 8],
  [4, 8],
  [8, 4],
  [2, 2],
  [3, 7],
];
const geometries = cases.filter(
  ({ op, name }) => op === 'axmConv2d' && name.startsWith('axmConv2d: mapped truncation'),
);

async function outputs(
  item: Case,
  kind: ProductError['kind'],
  weightBits: number,
  activationBits: number,
  error: readonly HostTensor[],
  backend = backends[0]!,
) {
  const [x, w, ...scales] = item.inputs.slice(0, 6) as [HostTensor, HostTensor, ...HostTensor[]];
  const attributes = {
    ...item.attributes,
    weightBits,
    activationBits,
    error: kind === 'removal' ? { kind, integer: true } : { kind },
  };
  const limited = (one: HostTensor, bits: number) =>
    tensor(
      'u8',
      one.shape,
      Uint8Array.from(one.data, (code) => code & (2 ** bits - 1)),
    );
  const inputs = [limited(x, activationBits), limited(w, weightBits), ...scales, ...error];
  return (await runCase(backend, { ...item, attributes, differentiate: [] } as Case, inputs)).y0;
}

describe.each(widths)('w%ia%i', (weightBits, activationBits) => {
  const random = new Random(3, weightBits, activationBits);
  const removed = Float32Array.from({ length: weightBits * activationBits }, () => random.integer(2));
  const planes = f32([weightBits, activationBits], removed);
  const nothing = f32([weightBits, activationBits], new Float32Array(removed.length));
  const shape = [2 ** weightBits, 2 ** activationBits];
  const table = tensor('i32', shape, Int32Array.from(errorOfRemoval({ weightBits, activationBits, removed })));
  const zeros = tensor('i32', shape, new Int32Array(table.data.length));

  for (const backend of backends) {
    test(`planes and table are equal on ${backend.device.name}`, async () => {
      expect(geometries.length).toBeGreaterThan(5);
      for (const item of geometries) {
        const asPlanes = await outputs(item, 'removal', weightBits, activationBits, [planes], backend);
        expect(await outputs(item, 'table', weightBits, activationBits, [table], backend), item.name).toEqual(asPlanes);
        const exact = await outputs(item, 'none', weightBits, activationBits, [], backend);
        expect(await outputs(item, 'removal', weightBits, activationBits, [nothing], backend), item.name).toEqual(
          exact,
        );
        expect(await outputs(item, 'table', weightBits, activationBits, [zeros], backend), item.name).toEqual(exact);
        expect(asPlanes, item.name).not.toEqual(exact);
      }
    });
  }
});

test('random codes reach every pattern of the widest operands', () => {
  expect(new Set(codes([4096], 8).data).size).toBe(256);
});
