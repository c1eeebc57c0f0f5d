import { describe, expect, test } from 'vitest';
import { type DiagramAdder, type DotDiagram, dotDiagramSvg } from './dots.ts';
import { runPageHtml } from './page.ts';
import { describeSvg, escapeText, numberIds, prefixIds, svgSize } from './svg.ts';
import { fontSize } from './theme.ts';

const count = (text: string, part: string) => text.split(part).length - 1;

describe('dot diagram', () => {
  const adders: DiagramAdder[] = [
    { stage: 0, column: 2, kind: 'full', kept: true },
    { stage: 0, column: 3, kind: 'half', kept: true },
    { stage: 1, column: 1, kind: 'half', kept: false },
    { stage: 1, column: 4, kind: 'full', kept: true },
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
  });

  test('counts what it shows in the legend and numbers the columns', () => {
    for (const text of [
      'kept 9 of 12 partial products',
      'kept 2 of 2 full adders',
      'kept 1 of 2 half adders',
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

  test('counts what is left against the exact multiplier where only the adders that are left are drawn', () => {
    const arranged = { ...diagram, adders: adders.filter(({ kept }) => kept), before: { full: 46, half: 0 } };
    const text = dotDiagramSvg(arranged);
    for (const label of ['kept 2 of 46 full adders', '1 half adders instead of 0', '2 adders']) {
      expect(text).toContain(`>${label}</text>`);
    }
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

  test('tell the size and the description of a figure, and refuse one without a size', () => {
    expect(svgSize('<svg a="b" width="12.5" height="3">')).toEqual({ width: 12.5, height: 3 });
    expect(() => svgSize('<svg viewBox="0 0 1 1">')).toThrow('a figure without width and height');
    expect(describeSvg('<svg width="1" role="x" aria-label="y"><g/></svg>', 'a "b"')).toBe(
      '<svg role="img" aria-label="a &quot;b&quot;" width="1"><g/></svg>',
    );
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
    sections: [
      {
        title: evil,
        blocks: [
          {
            kind: 'table',
            columns: [{ title: evil }, { title: 'Accuracy', numeric: true }],
            rows: [
              [evil, '93.05 %'],
              ['float', '–'],
            ],
          },
          { kind: 'note', text: evil },
          { kind: 'code', text: evil },
        ],
      },
      {
        title: 'Pictures',
        blocks: [
          {
            kind: 'figure',
            title: evil,
            caption: evil,
            svg: '<svg width="800" height="9" role="graphics"><g id="a"/></svg>',
          },
          {
            kind: 'folded',
            title: evil,
            blocks: [
              { kind: 'figure', title: 'b', svg: '<svg width="550" height="9"><g id="a" aria-label="x"/></svg>' },
            ],
          },
        ],
      },
      {
        title: 'Files',
        blocks: [
          {
            kind: 'links',
            links: [{ path: 'phase 1/theta.json', description: evil }, { path: 'javascript:alert(1)' }],
          },
        ],
      },
      { title: 'Nothing', blocks: [{ kind: 'links', links: [] }] },
    ],
  });

  test('escapes every text', () => {
    expect(html).not.toContain('<script');
    // Title twice, summary, section, column, row, note, code, figure: title, caption, and both in its label, fold,
    // link.
    expect(count(html, escapeText(evil))).toBe(2 + 1 + 1 + 2 + 2 + 4 + 1 + 1);
  });

  test('never breaks a number across lines in running text', () => {
    const text = 'exact for 0.46 % of 65 536 pairs at 3 2048 places';
    const page = runPageHtml({ title: '', summary: '', sections: [{ title: '', blocks: [{ kind: 'note', text }] }] });
    expect(page).toContain('exact for 0.46\u00a0% of 65\u00a0536 pairs at 3 2048 places');
  });

  test('sets numbers to the right, and heads of rows as heads', () => {
    expect(html).toContain('<th scope="row">float</th><td class="number">–</td>');
    expect(html).toContain('<th scope="col" class="number">Accuracy</th>');
  });

  test('inlines figures with one description each, without sharing ids or what each mark says of itself', () => {
    expect(html).toContain('<g id="figure1-a"/>');
    expect(html).toContain('<g id="figure2-a"/>');
    expect(html).toContain('role="img" aria-label="b"');
    expect(count(html, 'role="img"')).toBe(2);
    expect(html).not.toMatch(/role="graphics"|aria-label="x"/);
  });

  test('keeps the text of figures at nine pixels or more: 11 of 800 pixels need 655', () => {
    const widths = Array.from(html.matchAll(/min-width:(\d+)px;max-width:(\d+)px/g), ([, least, most]) => [
      least,
      most,
    ]);
    expect(widths).toEqual([
      [String(Math.ceil((800 * 9) / fontSize.small)), '800'],
      [String(Math.ceil((550 * 9) / fontSize.small)), '550'],
    ]);
  });

  test('is dark where the system is, with figures on a light ground', () => {
    expect(html).toContain('@media (prefers-color-scheme: dark)');
    expect(html).toMatch(/figure \.scroll \{ background: #ffffff/);
  });

  test('links files relative to itself, whatever they are called', () => {
    expect(html).toContain('href="./phase%201/theta.json"');
    expect(html).toContain('href="./javascript%3Aalert(1)"');
  });

  test('asks nothing of the network and leaves out empty sections', () => {
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(html).not.toContain('Nothing');
    expect(runPageHtml({ title: 'a', summary: 'b', sections: [] })).not.toContain('<section');
  });
});
