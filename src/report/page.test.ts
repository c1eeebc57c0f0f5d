import { describe, expect, test } from 'vitest';
import { type DiagramAdder, type DotDiagram, dotDiagramSvg } from './dots.ts';
import { runPageHtml } from './page.ts';
import { escapeText, numberIds, prefixIds } from './svg.ts';

const count = (text: string, part: string) => text.split(part).length - 1;

describe('dot diagram', () => {
  const adders: DiagramAdder[] = [
    { stage: 0, column: 2, kind: 'full', kept: true, constantOutputs: ['sum'] },
    { stage: 0, column: 3, kind: 'half', kept: true },
    { stage: 1, column: 1, kind: 'half', kept: false },
    { stage: 1, column: 4, kind: 'full', kept: true, constantOutputs: ['sum', 'carry'] },
  ];
  const diagram: DotDiagram = {
    weightBits: 3,
    activationBits: 4,
    partialProducts: Array.from({ length: 12 }, (_, k) => ({
      i: k % 3,
      j: Math.floor(k / 3),
      kept: (k % 3) + Math.floor(k / 3) >= 2,
    })),
    adders,
  };
  const svg = dotDiagramSvg(diagram);

  test('has a dot for every partial product, the removed ones hollow', () => {
    expect(count(svg, 'class="product kept"')).toBe(9);
    expect(count(svg, 'class="product removed"')).toBe(3);
    expect(svg).toMatch(/<circle class="product removed"[^>]* fill="none"/);
  });

  test('has two dots in a half adder and three in a full adder, and one box each', () => {
    expect(count(svg, 'class="adder full kept"')).toBe(2);
    expect(count(svg, 'class="adder half kept"')).toBe(1);
    expect(count(svg, 'class="adder half removed"')).toBe(1);
    expect(count(svg, 'class="input"')).toBe(3 + 2 + 2 + 3);
    expect(count(svg, 'class="constant"')).toBe(3);
  });

  test('counts what it shows in the legend and numbers the columns', () => {
    for (const text of [
      'kept 9 of 12 partial products',
      'kept 2 of 2 full adders',
      'kept 1 of 2 half adders',
      'sum or carry fixed to 0 (3)',
      'removed',
      'stage 2',
      '1 of 2',
    ]) {
      expect(svg).toContain(`>${text}</text>`);
    }
    for (let column = 0; column < 7; column++) expect(svg).toContain(`>${column}</text>`);
  });

  test('stands each dot in its column, the most significant left', () => {
    const xs = Array.from(svg.matchAll(/<circle class="product \w+" cx="([\d.]+)"/g), ([, x]) => Number(x));
    diagram.partialProducts.forEach(({ i, j }, k) => {
      expect(xs[0]! - xs[k]!).toBeCloseTo(34 * (i + j), 6);
    });
  });

  test('draws an exact multiplier without adders and without the words for what it lacks', () => {
    const exact = dotDiagramSvg({
      weightBits: 1,
      activationBits: 1,
      partialProducts: [{ i: 0, j: 0, kept: true }],
      adders: [],
    });
    expect(exact).toContain('kept 1 of 1 partial products');
    expect(exact).not.toContain('removed');
  });

  test('keeps everything inside its frame', () => {
    const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(svg)!;
    for (const [, x, y] of svg.matchAll(/c?x="([\d.]+)" c?y="([\d.]+)"/g)) {
      expect(Number(x)).toBeLessThan(Number(width));
      expect(Number(y)).toBeLessThan(Number(height));
    }
  });

  test('shows injected constants as ones in their columns, and no row without any', () => {
    const ones = (markup: string) => markup.match(/class="one"/g)?.length ?? 0;
    expect(ones(svg)).toBe(0);
    const compensated = dotDiagramSvg({ ...diagram, constants: [1, 2] });
    expect(ones(compensated)).toBe(2);
    expect(compensated).toContain('constants');
  });
});

describe('SVG helpers', () => {
  test('escape what means something in markup', () => {
    expect(escapeText(`<a href="x" title='y'>&`)).toBe('&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;');
  });

  test('rename ids together with their references', () => {
    const svg =
      '<g id="clip7"/><g clip-path="url(#clip7)"/><g fill="url(\'#g\')"/><use xlink:href="#clip7"/><i id="g"/><image href="data:,#g"/>';
    expect(prefixIds(svg, 'f1-')).toBe(
      '<g id="f1-clip7"/><g clip-path="url(#f1-clip7)"/><g fill="url(#f1-g)"/><use xlink:href="#f1-clip7"/><i id="f1-g"/><image href="data:,#g"/>',
    );
    expect(numberIds(svg)).toContain('<g id="id0"/><g clip-path="url(#id0)"/><g fill="url(#id1)"/>');
  });
});

describe('run page', () => {
  const evil = '<script>alert("1")</script>';
  const html = runPageHtml({
    title: `Run ${evil}`,
    summary: evil,
    facts: [{ label: evil, value: evil }],
    stages: [
      { stage: evil, accuracy: 0.93051, power: 0.8329 },
      { stage: 'float', accuracy: 0.9307 },
    ],
    multipliers: [
      { name: evil, metrics: [{ label: 'NMED (%)', value: '0.122' }] },
      { name: 'exact', metrics: [{ label: 'Area (µm²)', value: evil }] },
    ],
    figures: [
      { title: evil, caption: evil, svg: '<svg><g id="a"/></svg>' },
      { title: 'b', svg: '<svg><g id="a"/></svg>' },
    ],
    files: [
      { path: 'phase 1/theta.json', description: evil },
      { path: 'javascript:alert(1)', description: '' },
    ],
  });

  test('escapes every text', () => {
    expect(html).not.toContain('<script');
    expect(count(html, escapeText(evil))).toBe(2 + 1 + 2 + 1 + 2 + 2 + 1);
  });

  test('shows stages in per cent and a dash for what was not measured', () => {
    expect(html).toContain('<td class="number">93.05</td><td class="number">83.3</td>');
    expect(html).toContain('<td class="number">93.07</td><td class="number">–</td>');
    expect(html).toContain('<th scope="row">NMED (%)</th><td class="number">0.122</td><td class="number">–</td>');
  });

  test('inlines figures without sharing ids', () => {
    expect(html).toContain('<g id="figure1-a"/>');
    expect(html).toContain('<g id="figure2-a"/>');
  });

  test('links files relative to itself, whatever they are called', () => {
    expect(html).toContain('href="./phase%201/theta.json"');
    expect(html).toContain('href="./javascript%3Aalert(1)"');
  });

  test('asks nothing of the network and leaves out empty sections', () => {
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\//);
    const empty = runPageHtml({
      title: 'a',
      summary: 'b',
      facts: [],
      stages: [],
      multipliers: [],
      figures: [],
      files: [],
    });
    expect(empty).not.toContain('<section');
  });
});
