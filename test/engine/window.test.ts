// What strides, padding and dilation of each axis mean, on the reference: a convolution is the dense one over an
// explicitly padded image with zeros between the taps of its kernel, of which every stride-th position is kept.

import { expect, test } from 'vitest';
import { Graph } from '../../src/engine/graph/graph.ts';
import type { ConvGeometry, Pair } from '../../src/engine/graph/ops.ts';
import { countsAlong, outputsOf, square, squareWindow, tapsAlong } from '../../src/engine/graph/window.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, type Shape } from '../../src/tensor/tensor.ts';
import { floats, make } from './cases.ts';
import { runCase } from './run-case.ts';

/**
 * The elements of a tensor whose first axes are images, put `step` pixels apart behind `before` pixels in an image of
 * zeros.
 */
function spread({ shape, data }: HostTensor, axes: Pair, size: Pair, before: Pair, step: Pair): HostTensor {
  const to = shape.map((extent, axis) => (axis === axes[0] ? size[0] : axis === axes[1] ? size[1] : extent));
  const strides = to.map((_, axis) => to.slice(axis + 1).reduce((a, b) => a * b, 1));
  const out = new Float32Array(to.reduce((a, b) => a * b, 1));
  data.forEach((value, at) => {
    let rest = at;
    let index = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const k = rest % shape[axis]!;
      rest = Math.floor(rest / shape[axis]!);
      const which = axes.indexOf(axis);
      index += strides[axis]! * (which < 0 ? k : before[which]! + k * step[which]!);
    }
    out[index] = value;
  });
  return f32(to, out);
}

test('a convolution of any geometry is a dense one of padded images and spread kernels', async () => {
  const random = new Random(12);
  const draw = (low: number, high: number): Pair => [
    low + random.integer(high - low + 1),
    low + random.integer(high - low + 1),
  ];
  let seen = 0;
  while (seen < 40) {
    const [size, kernel, groups] = [draw(1, 9), draw(1, 4), 1 + random.integer(2)];
    const geometry: ConvGeometry = { ...{ stride: draw(1, 3), padding: draw(0, 4), dilation: draw(1, 3) }, groups };
    const { stride, padding, dilation } = geometry;
    const padded = size.map((extent, at) => extent + 2 * padding[at]!) as unknown as Pair;
    const spanned = kernel.map((taps, at) => (taps - 1) * dilation[at]! + 1) as unknown as Pair;
    if (spanned.some((span, at) => span > padded[at]!)) continue;
    seen++;
    const x = floats([2, ...size, 2 * groups]);
    const w = floats([...kernel, 2, 3 * groups]);
    const found = await runCase(referenceBackend(), make('conv2d', '', [x, w], geometry));
    const dense = await runCase(
      referenceBackend(),
      make('conv2d', '', [spread(x, [1, 2], padded, padding, [1, 1]), spread(w, [0, 1], spanned, [0, 0], dilation)], {
        ...square({ groups }),
      }),
    );
    const positions = padded.map((extent, at) => extent - spanned[at]! + 1) as unknown as Pair;
    const kept = positions.map((extent, at) => Math.ceil(extent / stride[at]!)) as unknown as Pair;
    const channels = 3 * groups;
    const expected = Float32Array.from({ length: 2 * kept[0] * kept[1] * channels }, (_, at) => {
      const [channel, pixel] = [at % channels, Math.floor(at / channels)];
      const [column, line] = [(pixel % kept[1]) * stride[1], Math.floor(pixel / kept[1])];
      const [row, image] = [(line % kept[0]) * stride[0], Math.floor(line / kept[0])];
      return dense.y0![((image * positions[0] + row) * positions[1] + column) * channels + channel]!;
    });
    expect(found.y0).toEqual(expected);
  }
});

test('the taps of a window that lie inside', () => {
  const axis = { extent: 4, size: 3, stride: 3, padding: 2, dilation: 2 };
  expect(tapsAlong(axis)).toEqual([
    [
      { tap: 1, at: 0 },
      { tap: 2, at: 2 },
    ],
    [
      { tap: 0, at: 1 },
      { tap: 1, at: 3 },
    ],
  ]);
});

test('a kernel that does not fit into the padded image is refused along either axis', () => {
  const refused = (x: Shape, w: Shape, geometry: ConvGeometry) => {
    const graph = new Graph();
    return () => graph.apply1('conv2d', [graph.input('x', x), graph.input('w', w)], geometry);
  };
  expect(refused([1, 5, 4, 1], [3, 3, 1, 1], square({ dilation: [2, 1] }))).not.toThrow();
  expect(refused([1, 4, 5, 1], [3, 3, 1, 1], square({ dilation: [2, 1] }))).toThrow('kernel inside the padded image');
  expect(refused([1, 5, 4, 1], [3, 3, 1, 1], square({ dilation: [1, 2] }))).toThrow('kernel inside the padded image');
  expect(refused([1, 5, 4, 1], [3, 3, 1, 1], square({ padding: [0, 1], dilation: 2 }))).not.toThrow();
  const graph = new Graph();
  const image = graph.input('x', [1, 3, 4, 1]);
  expect(() => graph.apply1('maxPool', [image], squareWindow([5, 2], 1, [0, 1]))).toThrow(
    'an image of at least 5×2 with padding 0×1',
  );
});

test('windows that reach beyond the padded image, as PyTorch rounds up', () => {
  const axis = (extent: number, size: number, stride: number, padding: number) => {
    const plain = { extent, size, stride, padding, dilation: 1 };
    const up = { ...plain, ceil: true };
    return [outputsOf(plain), outputsOf(up), countsAlong(up, true), countsAlong(up, false)];
  };
  // Counted padding ends one padding behind the image; what lies beyond counts in neither mean.
  expect(axis(6, 3, 2, 0)).toEqual([2, 3, [3, 3, 2], [3, 3, 2]]);
  expect(axis(6, 3, 2, 1)).toEqual([3, 4, [3, 3, 3, 2], [2, 3, 3, 1]]);
  expect(axis(7, 3, 2, 1)).toEqual([4, 4, [3, 3, 3, 3], [2, 3, 3, 2]]);
  // Rounded up there would be 3, but the third would begin in the padding behind the image.
  expect(axis(3, 2, 2, 1)).toEqual([2, 2, [2, 2], [1, 2]]);
  expect(axis(6, 3, 3, 1)).toEqual([2, 3, [3, 3, 2], [2, 3, 1]]);
  expect(axis(5, 2, 3, 1)).toEqual([2, 2, [2, 2], [1, 2]]);
  // A window larger than the padded image is none, rounded up or not.
  expect(
    axis(3, 4, 2, 0)
      .slice(0, 2)
      .every((count) => (count as number) <= 0),
  ).toBe(true);
});

test('a window that could lie in the padding alone is refused', () => {
  const graph = new Graph();
  const image = graph.input('x', [1, 6, 6, 1]);
  expect(() => graph.apply1('maxPool', [image], squareWindow(2, 1, [1, 2]))).toThrow(
    'less padding than the window (2×2)',
  );
});
