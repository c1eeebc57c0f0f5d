import { inflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { curvesSvg, endLabels, thetaSvg } from './curves.ts';
import { growthSvg } from './growth.ts';
import { type ErrorTable, errorBins, errorHeatmapSvg, errorHistogramSvg, errorStatistics } from './heatmap.ts';
import { placeLabels } from './labels.ts';
import { svgToPdf } from './pdf.ts';
import { encodePalettePng, svgToPng } from './png.ts';
import { contactSheet } from './sheet.ts';
import { divergingColour, orderedColours, textWidth } from './theme.ts';

/** Number of marks of a kind, by the role that Vega writes on each. */
const marks = (svg: string, role: string) => svg.split(`aria-roledescription="${role}"`).length - 1;
const texts = (svg: string) => Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text);
const widthOf = (svg: string) => Number(/^<svg[^>]* width="([\d.]+)"/.exec(svg)?.[1]);

/** The 4×6-bit multiplier without its two lowest columns, as errors. */
const truncated: ErrorTable = {
  weightBits: 4,
  activationBits: 6,
  errors: Int32Array.from({ length: 1024 }, (_, k) => {
    const [w, x] = [k >> 6, k & 63];
    return -((w & 1 && x & 1 ? 1 : 0) + 2 * ((w & 1 && x & 2 ? 1 : 0) + (w & 2 && x & 1 ? 1 : 0)));
  }),
};

describe('training curves', () => {
  const epochs = Array.from({ length: 6 }, (_, epoch) => ({
    epoch,
    loss: 1 / (epoch + 1),
    accuracy: 0.9 + epoch / 100,
  }));
  const phases = [
    { phase: 'Quantisation', training: [], test: [{ epoch: 0, accuracy: 0.931 }] },
    { phase: 'Exploration', training: epochs.map((point) => ({ ...point, power: 0.9 })), test: epochs },
    { phase: 'Recovery <3>', training: epochs, test: epochs },
  ];

  test('draw one point per value, in a row per metric and a column per phase', async () => {
    const svg = await curvesSvg(phases);
    expect(marks(svg, 'point')).toBe(1 + 6 * 3 + 6 * 2 + 6 * 2 + 6 * 2);
    expect(marks(svg, 'title')).toBe(3);
    expect(texts(svg)).toEqual(
      expect.arrayContaining([
        'Quantisation',
        'Recovery &lt;3&gt;',
        'Loss',
        'Accuracy (%)',
        'Power (model of θ)',
        'Epoch',
        'training',
        'test',
      ]),
    );
    expect(texts(svg).filter((text) => text === 'Epoch').length).toBe(3);
    expect(widthOf(svg)).toBeLessThanOrEqual(840);
  });

  test('have the scale of their own values, and no axes where a phase lacks a metric', async () => {
    const flat = [
      { epoch: 1, accuracy: 0.98 },
      { epoch: 2, accuracy: 0.981 },
    ];
    const svg = await curvesSvg([
      { phase: 'Float training', training: epochs, test: [] },
      { phase: 'Recovery', training: flat, test: [] },
    ]);
    // Of a thousandth's change the curve takes most of its panel, 150 pixels high.
    const [, , d] = Array.from(svg.matchAll(/aria-roledescription="line mark"[^>]* d="([^"]+)"/g), ([, path]) => path!);
    const heights = Array.from(d!.matchAll(/,([\d.]+)/g), ([, y]) => Number(y));
    expect(Math.max(...heights) - Math.min(...heights)).toBeGreaterThan(60);
    expect(marks(svg, 'axis')).toBe(2 * 3);
  });

  test('have no row for a metric that nobody measured', async () => {
    const svg = await curvesSvg([
      { phase: 'Recovery', training: [], test: epochs.map(({ epoch, loss }) => ({ epoch, loss })) },
    ]);
    expect(texts(svg)).not.toContain('Power (model of θ)');
    expect(marks(svg, 'point')).toBe(6);
  });

  test('per step are lines without dots', async () => {
    const test = Array.from({ length: 500 }, (_, step) => ({ epoch: step / 100, loss: Math.exp(-step / 100) }));
    const svg = await curvesSvg([{ phase: 'Recovery', training: [], test }]);
    expect([marks(svg, 'point'), marks(svg, 'line mark')]).toEqual([0, 1]);
  });

  test('are the same text every time', async () => {
    expect(await curvesSvg(phases)).toBe(await curvesSvg(phases));
  });
});

describe('θ over time', () => {
  const vector = (epoch: number) => [1, 1, epoch / 10, epoch / 5];

  test('has one line per column and names the columns at their ends', async () => {
    const svg = await thetaSvg([0, 1, 2].map((epoch) => ({ epoch, theta: [vector(epoch)] })));
    expect(marks(svg, 'line mark')).toBe(4);
    expect(texts(svg)).toEqual(expect.arrayContaining(['columns 0–1', 'column 2', 'column 3']));
  });

  test('has one picture per layer', async () => {
    const layers = ['conv1', 'conv2', 'conv3', 'conv4', 'fc'];
    const svg = await thetaSvg(
      [0, 1].map((epoch) => ({ epoch, theta: layers.map(() => vector(epoch)) })),
      layers,
    );
    expect(marks(svg, 'line mark')).toBe(20);
    expect(texts(svg)).toEqual(expect.arrayContaining(layers));
    expect(widthOf(svg)).toBeLessThanOrEqual(840);
  });

  test('shows of a long name the end, and is no wider for it', async () => {
    const layers = [1, 2, 3, 4].map((at) => `features.denseblock4.denselayer${at}.conv1`);
    const svg = await thetaSvg([{ epoch: 0, theta: layers.map(() => vector(0)) }], layers);
    for (const at of [1, 2, 3, 4]) {
      expect(texts(svg)).toContainEqual(expect.stringMatching(new RegExp(`^….*denselayer${at}\\.conv1$`)));
    }
    expect(widthOf(svg)).toBeLessThanOrEqual(840);
  });

  test('shares a label between columns that end closer than a line of text', () => {
    const ends = [0.5, 0.52, 0.9, 0.53].map((value, column) => ({ epoch: 4, value, name: `column ${column}` }));
    expect(endLabels(ends).map(({ label }) => label)).toEqual(['columns 0–1, 3', 'column 2']);
  });

  test('θ of other kinds go by their names', async () => {
    const names = ['w[0]·x[0]', 'w[0]·x[1]', 'w[1]·x[0]', 'w[1]·x[1]'];
    const points = [0, 1].map((epoch) => ({ epoch, theta: [[0.1, 0.1, 0.9, 0.5].map((value) => value * epoch)] }));
    const svg = await thetaSvg(points, undefined, names);
    expect(texts(svg)).toEqual(expect.arrayContaining(['θ (1: removed)', ...names, 'w[0]·x[0], w[0]·x[1]']));
    const ends = names.map((name) => ({ epoch: 1, value: 0, name }));
    expect(endLabels(ends).map(({ label }) => label)).toEqual(['4 θ']);
  });
});

describe('error pictures', () => {
  test('the heat map embeds one pixel per operand pair, zero in the middle of the scale, w upwards', async () => {
    const svg = await errorHeatmapSvg(truncated, 'Error & more');
    expect(marks(svg, 'image mark')).toBe(0);
    const [, base64] = /href="data:image\/png;base64,([^"]+)"/.exec(svg)!;
    const png = Buffer.from(base64!, 'base64');
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([64, 16]);
    const start = png.indexOf('IDAT');
    const rows = inflateSync(png.subarray(start + 4, start + 4 + png.readUInt32BE(start - 4)));
    const pixel = (w: number, x: number) => rows[(15 - w) * 65 + 1 + x];
    for (let w = 0; w < 16; w++) {
      for (let x = 0; x < 64; x++)
        expect(pixel(w, x)).toBe(127 + Math.round((truncated.errors[w * 64 + x]! / 5) * 127));
    }
    expect(texts(svg)).toEqual(
      expect.arrayContaining([
        'Error &amp; more',
        'Operand x (activation)',
        'Operand w (weight)',
        'Product − w·x',
        '63',
        '15',
        '−4',
        '4',
      ]),
    );
    expect(texts(svg)).toContain('exact for 50 % of 1 024 pairs · mean −1.25 · from −5 to 0');
    expect(svg.length).toBeLessThan(30_000);
  });

  test('the scale is symmetric around white and never divides by zero', async () => {
    expect(divergingColour(0)).toEqual([247, 247, 247]);
    const exact = { ...truncated, errors: new Int32Array(1024) };
    expect(await errorHeatmapSvg(exact)).toContain('exact for 100 % of 1 024 pairs');
    expect(await errorHistogramSvg(exact)).toContain('exact for 100 %');
  });

  test('the histogram holds every non-zero error once', async () => {
    const { pairs, exact } = errorStatistics(truncated.errors);
    const bins = errorBins(truncated.errors);
    expect(bins.map(({ from, to }) => `${from}..${to}`)).toEqual(['-5..-4', '-3..-2', '-2..-1', '-1..0']);
    expect(bins.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo((100 * (pairs - exact)) / pairs, 10);
    expect(marks(await errorHistogramSvg(truncated), 'bar')).toBe(bins.length);
  });

  test('wide ranges fall into round bins on both sides of zero', () => {
    const errors = Int32Array.from({ length: 2001 }, (_, k) => k - 1000);
    const bins = errorBins(errors);
    expect(bins.length).toBe(40);
    expect(bins[0]).toEqual({ from: -1000, to: -950, share: (100 * 50) / 2001 });
    expect(bins.at(-1)).toEqual({ from: 950, to: 1000, share: (100 * 50) / 2001 });
  });

  test('figures do not depend on those drawn before', async () => {
    expect(await errorHeatmapSvg(truncated)).toBe(await errorHeatmapSvg(truncated));
  });
});

describe('labels', () => {
  test('touch neither each other nor the frame', () => {
    const crowd = Array.from({ length: 9 }, (_, k) => ({
      x: 20 + 70 * (k % 3),
      y: 20 + 40 * Math.floor(k / 3),
      label: `point ${k}`,
    }));
    const boxes = placeLabels(crowd, [], 240, 140).map(({ dx, dy }, k) => {
      const { x, y, label } = crowd[k]!;
      const half = textWidth(label, 11) / 2;
      return { left: x + dx - half, right: x + dx + half, top: y + dy - 6, bottom: y + dy + 6 };
    });
    boxes.forEach((a, k) => {
      expect(a.left >= 0 && a.right <= 240 && a.top >= 0 && a.bottom <= 140).toBe(true);
      for (const b of boxes.slice(k + 1)) {
        expect(a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom).toBe(false);
      }
    });
  });
});

describe('PNG', () => {
  test('a palette picture decodes to its pixels', async () => {
    const png = encodePalettePng(2, 1, new Uint8Array([1, 0]), [
      [255, 0, 0],
      [0, 0, 255],
    ]);
    const href = `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="2" height="1"><image width="2" height="1" href="${href}"/></svg>`;
    const { Resvg } = await import('@resvg/resvg-js');
    expect([...new Resvg(svg).render().pixels]).toEqual([0, 0, 255, 255, 255, 0, 0, 255]);
  });

  test('a figure renders at the asked scale', async () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><rect width="9" height="9"/></svg>';
    const png = Buffer.from(await svgToPng(svg, { scale: 3 }));
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([90, 60]);
  });

  test('text without any font is refused, not silently dropped', async () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><text y="9">θ</text></svg>';
    await expect(svgToPng(svg, { systemFonts: false })).rejects.toThrow('no font was found on this machine');
  });
});

describe('PDF', () => {
  const fontless =
    '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40"><defs><linearGradient id="g"><stop offset="0" stop-color="#ff0000"/><stop offset="0.5" stop-color="#00ff00"/><stop offset="1" stop-color="#0000ff"/></linearGradient><clipPath id="c"><rect width="9" height="9"/></clipPath></defs><g clip-path="url(#c)" opacity="0.5"><rect width="40" height="20" fill="url(#g)"/></g><path d="M1 2Q4 8 7 2" fill="none" stroke="#0072b2" stroke-width="2" stroke-dasharray="3 2"/><g opacity="0"><circle r="99"/></g></svg>';

  /** The objects by number, each found where the table at the end says, and the page's operators. */
  function open(pdf: Uint8Array) {
    const bytes = Buffer.from(pdf);
    const text = bytes.toString('latin1');
    const start = Number(/startxref\n(\d+)\n%%EOF\n$/.exec(text)?.[1]);
    expect(text.slice(start, start + 5)).toBe('xref\n');
    const offsets = Array.from(text.slice(start).matchAll(/^(\d{10}) 00000 n $/gm), ([, at]) => Number(at));
    const objects = offsets.map((at, k) => {
      expect(text.slice(at).startsWith(`${k + 1} 0 obj\n`)).toBe(true);
      return text.slice(at, text.indexOf('\nendobj', at));
    });
    const streams = objects.flatMap((object, k) => {
      const length = Number(/\/Length (\d+) >>\nstream\n/.exec(object)?.[1]);
      if (Number.isNaN(length)) return [];
      const at = offsets[k]! + object.indexOf('stream\n') + 'stream\n'.length;
      expect(text.slice(at + length).startsWith('\nendstream')).toBe(true);
      return [inflateSync(bytes.subarray(at, at + length))];
    });
    return { objects, operators: streams.at(-1)!.toString('latin1'), streams };
  }

  test('is one page of vectors: paths, curves, dashes, clipping, gradients and opacity, at 0.75 points per pixel', async () => {
    const { objects, operators } = open(await svgToPdf(fontless));
    expect(objects.some((object) => object.includes('/MediaBox [0 0 60 30]'))).toBe(true);
    expect(operators).toContain('0.75 0 0 -0.75 0 30 cm');
    // Half way to the control point at (4, 8) by thirds: (1, 2) + 2/3 · (3, 6) and (7, 2) + 2/3 · (−3, 6).
    expect(operators).toContain('1 2 m 3 6 5 6 7 2 c');
    expect(operators).toContain('0 0.447 0.698 RG 2 w');
    expect(operators).toContain('[3 2] 0 d');
    expect(operators).toMatch(/W n\n.*gs/s);
    expect(operators).toMatch(/40 0 0 20 0 0 cm \/S0 sh/);
    const page = objects.find((object) => object.includes('/Type /Page '))!;
    expect(page).toContain('<< /ca 0.5 /CA 0.5 >>');
    expect(page).toContain('/Bounds [0.5]');
    expect(operators).not.toContain('99');
  });

  test('keeps a picture to the pixel, text as outlines, and is the same every time', async () => {
    const svg = await errorHeatmapSvg(truncated);
    const pdf = await svgToPdf(svg);
    expect(Buffer.from(pdf).equals(await svgToPdf(svg))).toBe(true);
    const { objects, streams } = open(pdf);
    const image = objects.find((object) => object.includes('/Subtype /Image'))!;
    expect(image).toContain('/Width 64 /Height 16');
    // Rows with a filter byte each, as PNG and PDF both have them.
    expect(streams[0]!.length).toBe(16 * 65);
    expect(objects.join('')).not.toContain('/Font');
  });

  test('refuses what it cannot hold instead of leaving it out', async () => {
    const masked =
      '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><mask id="m"><rect width="5" height="5" fill="white"/></mask><g mask="url(#m)"><rect width="9" height="9"/></g></svg>';
    await expect(svgToPdf(masked)).rejects.toThrow(/mask, which its PDF cannot hold/);
  });
});

test('ordered colours run dark to light without repetition', () => {
  expect(new Set(orderedColours(16)).size).toBe(16);
  expect(orderedColours(1).length).toBe(1);
});

test('a contact sheet shows raw values as a PNG for each image, a pixel as a square in every viewer', () => {
  const image = Uint8Array.from([0, 8, 16, 4, 2, 1]);
  const svg = contactSheet([{ title: 'cat', images: [image, image] }], { height: 2, width: 3, channels: 1 }, 16);
  const pictures = Array.from(svg.matchAll(/base64,([^"]+)"/g), ([, text]) => Buffer.from(text!, 'base64'));
  expect(pictures).toHaveLength(2);
  const [png] = pictures as [Buffer];
  expect([png.readUInt32BE(16), png.readUInt32BE(20), png[25]]).toEqual([3, 2, 0]);
  const start = png.indexOf('IDAT');
  const rows = inflateSync(png.subarray(start + 4, start + 4 + png.readUInt32BE(start - 4)));
  expect([...rows]).toEqual([0, 0, 128, 255, 0, 64, 32, 16]);
  // resvg knows the first of these alone, and is not given the second.
  expect(svg).toContain('image-rendering: optimizeSpeed; image-rendering: pixelated;');
  expect(texts(svg)).toContain('cat');
});

test('growth: a dot per measurement, a line per model, and the name of each series once', async () => {
  const plot = (title: string, names: readonly string[]) => ({
    ...{ title, x: 'images', y: 'ms' },
    series: names.map((name) => ({
      name,
      points: [1, 2, 4].map((x) => ({ x, ms: 3 * x })),
      model: [1, 4].map((x) => ({ x, ms: 3 * x })),
    })),
  });
  const svg = await growthSvg([plot('A & B', ['float', 'phase 1']), plot('C', ['float']), plot('D', ['gradients'])]);
  expect(marks(svg, 'point')).toBe(3 * (2 + 1 + 1));
  expect(marks(svg, 'line mark')).toBe(2 + 1 + 1);
  for (const name of ['float', 'phase 1', 'gradients', 'A &amp; B']) {
    expect(texts(svg).filter((text) => text === name)).toHaveLength(1);
  }
  expect(widthOf(svg)).toBeLessThan(840);
});
