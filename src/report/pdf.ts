// A figure as a PDF of one page, in vectors, for LaTeX and print. resvg does what is hard: it resolves styles and
// shapes and draws text as outlines, and what is left of an SVG are groups, paths with absolute M, L, Q, C and Z,
// linear gradients and images. Those are written here in the operators of PDF 1.4 (ISO 32000-1). Invariant: the same
// figure gives the same bytes, there is no date in them; what a figure has beyond that subset is an error, never left
// out.

import { deflateSync } from 'node:zlib';
import { invariant } from '../tensor/errors.ts';
import { readPalettePng, simplifySvg } from './png.ts';
import { svgSize } from './svg.ts';

/** Points per pixel of CSS. */
const SCALE = 0.75;

type Attributes = Readonly<Record<string, string>>;

interface Node {
  readonly name: string;
  readonly attributes: Attributes;
  readonly children: Node[];
}

/** Renders an SVG; throws a UserError when no font is found to draw its text with. */
export async function svgToPdf(svg: string): Promise<Uint8Array> {
  const simple = await simplifySvg(svg);
  const root = parseElements(simple);
  const { width, height } = svgSize(simple);
  const page = new Page(root);
  page.draw(root, 1);
  const [w, h] = [number(width * SCALE), number(height * SCALE)];
  return page.file(`${SCALE} 0 0 -${SCALE} 0 ${h} cm`, `[0 0 ${w} ${h}]`);
}

/** Elements of resvg's own output, which has neither comments nor text. */
function parseElements(xml: string): Node {
  const open: Node[] = [{ name: '', attributes: {}, children: [] }];
  for (const [, closing, name, attributes, selfClosing] of xml.matchAll(
    /<(\/?)([\w:]+)((?:\s+[\w:-]+="[^"]*")*)\s*(\/?)>/g,
  )) {
    if (closing) {
      open.pop();
      continue;
    }
    const node: Node = { name: name!, attributes: parseAttributes(attributes!), children: [] };
    open.at(-1)!.children.push(node);
    if (!selfClosing) open.push(node);
  }
  const root = open[0]!.children[0];
  invariant(open.length === 1 && root?.name === 'svg', 'a figure that is not one svg element');
  return root;
}

function parseAttributes(text: string): Attributes {
  return Object.fromEntries(Array.from(text.matchAll(/([\w:-]+)="([^"]*)"/g), ([, name, value]) => [name!, value!]));
}

const number = (value: number) => String(Math.round(value * 1000) / 1000);

class Page {
  readonly #content: string[] = [];
  readonly #objects: Uint8Array[] = [];
  readonly #resources = new Map<string, Map<string, string>>();
  readonly #definitions: ReadonlyMap<string, Node>;

  constructor(root: Node) {
    const all = (node: Node): Node[] => [node, ...node.children.flatMap(all)];
    this.#definitions = new Map(
      all(root).flatMap((node) => (node.attributes.id === undefined ? [] : [[node.attributes.id, node]])),
    );
  }

  draw(node: Node, opacity: number): void {
    const { name, attributes } = node;
    if (name === 'defs' || attributes.visibility === 'hidden' || attributes.opacity === '0') return;
    if (name === 'path') this.#path(attributes, opacity);
    else if (name === 'image') this.#image(attributes);
    else this.#group(node, opacity);
  }

  #group({ name, attributes, children }: Node, opacity: number): void {
    invariant(name === 'svg' || name === 'g', `a figure has <${name}>, which its PDF cannot hold`);
    for (const beyond of ['mask', 'filter', 'style']) {
      invariant(attributes[beyond] === undefined, `a figure has ${beyond}, which its PDF cannot hold`);
    }
    this.#content.push('q');
    if (attributes.transform) this.#content.push(`${matrixOf(attributes.transform)} cm`);
    if (attributes['clip-path']) {
      for (const clip of this.#referred(attributes['clip-path']).children) {
        this.#content.push(pathOperators(clip.attributes.d ?? ''), 'W n');
      }
    }
    // A group's opacity as that of its parts: the same where they do not overlap.
    for (const child of children) this.draw(child, opacity * Number(attributes.opacity ?? 1));
    this.#content.push('Q');
  }

  #referred(reference: string): Node {
    const found = this.#definitions.get(/^url\(#([^)]+)\)$/.exec(reference)?.[1] ?? '');
    invariant(found, `a figure refers to ${reference}, which it does not have`);
    return found;
  }

  #path(attributes: Attributes, opacity: number): void {
    const { d = '', fill = '#000000', stroke = 'none' } = attributes;
    const operators = pathOperators(d);
    const evenOdd = attributes['fill-rule'] === 'evenodd' ? '*' : '';
    this.#content.push('q');
    this.#opacity(
      opacity * Number(attributes['fill-opacity'] ?? 1),
      opacity * Number(attributes['stroke-opacity'] ?? 1),
    );
    if (fill.startsWith('url(')) {
      this.#content.push('q', operators, `W${evenOdd} n`, this.#gradient(this.#referred(fill), d), 'Q');
    } else if (fill !== 'none') {
      this.#content.push(`${colourOf(fill)} rg`, operators, `f${evenOdd}`);
    }
    if (stroke !== 'none') {
      const caps: Readonly<Record<string, number>> = { butt: 0, miter: 0, round: 1, square: 2, bevel: 2 };
      this.#content.push(
        `${colourOf(stroke)} RG ${attributes['stroke-width'] ?? 1} w`,
        `${caps[attributes['stroke-linecap'] ?? 'butt']} J ${caps[attributes['stroke-linejoin'] ?? 'miter']} j ${attributes['stroke-miterlimit'] ?? 4} M`,
        `[${(attributes['stroke-dasharray'] ?? '').replaceAll(',', ' ')}] ${attributes['stroke-dashoffset'] ?? 0} d`,
        operators,
        'S',
      );
    }
    this.#content.push('Q');
  }

  #opacity(fill: number, stroke: number): void {
    if (fill === 1 && stroke === 1) return;
    this.#content.push(`${this.#resource('ExtGState', `<< /ca ${number(fill)} /CA ${number(stroke)} >>`)} gs`);
  }

  /** Paints the clipped area with a linear gradient along the path's own box. */
  #gradient({ name, attributes, children }: Node, d: string): string {
    invariant(
      name === 'linearGradient' && attributes.gradientUnits === undefined && attributes.gradientTransform === undefined,
      'a figure has a gradient that its PDF cannot hold',
    );
    const stops = children.map((stop) => ({
      at: Number(stop.attributes.offset),
      colour: colourOf(stop.attributes['stop-color'] ?? '#000000'),
    }));
    const parts = stops.slice(1).map(({ colour }, k) => {
      return `<< /FunctionType 2 /Domain [0 1] /N 1 /C0 [${stops[k]!.colour}] /C1 [${colour}] >>`;
    });
    const bounds = stops.slice(1, -1).map(({ at }) => number(at));
    const encode = parts.map(() => '0 1').join(' ');
    const { x1 = '0', y1 = '0', x2 = '1', y2 = '0' } = attributes;
    const shading = this.#resource(
      'Shading',
      `<< /ShadingType 2 /ColorSpace /DeviceRGB /Coords [${x1} ${y1} ${x2} ${y2}] /Extend [true true] ` +
        `/Function << /FunctionType 3 /Domain [0 1] /Functions [${parts.join(' ')}] /Bounds [${bounds.join(' ')}] /Encode [${encode}] >> >>`,
    );
    const { x, y, width, height } = boxOf(d);
    return `${[width, 0, 0, height, x, y].map(number).join(' ')} cm ${shading} sh`;
  }

  /** A palette picture: its compressed rows go into the file as they are. */
  #image(attributes: Attributes): void {
    const { x = '0', y = '0', width = '0', height = '0' } = attributes;
    const data = /^data:image\/png;base64,\s*(.*)$/s.exec(attributes['xlink:href'] ?? attributes.href ?? '')?.[1];
    invariant(data !== undefined, 'a figure has a picture that is no PNG');
    const png = readPalettePng(Buffer.from(data, 'base64'));
    const palette = Buffer.from(png.palette).toString('hex');
    const object = this.#add(
      `<< /Type /XObject /Subtype /Image /Width ${png.width} /Height ${png.height} /BitsPerComponent 8 /Interpolate false ` +
        `/ColorSpace [/Indexed /DeviceRGB ${png.palette.length / 3 - 1} <${palette}>] /Filter /FlateDecode ` +
        `/DecodeParms << /Predictor 15 /Colors 1 /BitsPerComponent 8 /Columns ${png.width} >>`,
      png.rows,
    );
    const place = [Number(width), 0, 0, -Number(height), Number(x), Number(y) + Number(height)].map(number).join(' ');
    this.#content.push('q', `${place} cm ${this.#resource('XObject', `${object} 0 R`)} Do`, 'Q');
  }

  /** The name under which the page knows a resource; equal ones share it. */
  #resource(kind: string, text: string): string {
    const known = this.#resources.get(kind) ?? new Map<string, string>();
    this.#resources.set(kind, known);
    const name = known.get(text) ?? `/${kind[0]}${known.size}`;
    known.set(text, name);
    return name;
  }

  /** Adds an object with a stream behind the open dictionary, or without; returns its number. */
  #add(dictionary: string, stream?: Uint8Array): number {
    const text =
      stream === undefined
        ? [Buffer.from(dictionary)]
        : [Buffer.from(`${dictionary} /Length ${stream.length} >>\nstream\n`), stream, Buffer.from('\nendstream')];
    this.#objects.push(Buffer.concat(text));
    return this.#objects.length;
  }

  file(transform: string, box: string): Uint8Array {
    const stream = deflateSync(Buffer.from(`${transform}\n${this.#content.join('\n')}\n`), { level: 9 });
    const content = this.#add('<< /Filter /FlateDecode', stream);
    const kinds = [...this.#resources].map(
      ([kind, known]) => `/${kind} << ${[...known].map(([text, name]) => `${name} ${text}`).join(' ')} >>`,
    );
    const page = this.#objects.length + 1;
    this.#add(
      `<< /Type /Page /Parent ${page + 1} 0 R /MediaBox ${box} /Contents ${content} 0 R /Resources << ${kinds.join(' ')} >> >>`,
    );
    this.#add(`<< /Type /Pages /Kids [${page} 0 R] /Count 1 >>`);
    const catalog = this.#add(`<< /Type /Catalog /Pages ${page + 1} 0 R >>`);
    const chunks: Uint8Array[] = [Buffer.from('%PDF-1.4\n%\xe2\xe3\xcf\xd3\n', 'latin1')];
    let offset = chunks[0]!.length;
    const offsets = this.#objects.map((object, k) => {
      const at = offset;
      const chunk = Buffer.concat([Buffer.from(`${k + 1} 0 obj\n`), object, Buffer.from('\nendobj\n')]);
      chunks.push(chunk);
      offset += chunk.length;
      return at;
    });
    const entries = offsets.map((at) => `${String(at).padStart(10, '0')} 00000 n \n`).join('');
    const size = offsets.length + 1;
    chunks.push(
      Buffer.from(
        `xref\n0 ${size}\n0000000000 65535 f \n${entries}trailer\n<< /Size ${size} /Root ${catalog} 0 R >>\nstartxref\n${offset}\n%%EOF\n`,
      ),
    );
    return Buffer.concat(chunks);
  }
}

function matrixOf(transform: string): string {
  const inner = /^matrix\(([^)]*)\)$/.exec(transform)?.[1];
  invariant(inner, `a figure has the transform ${transform}`);
  return inner;
}

/** "#0072b2" → "0 0.447 0.698". */
function colourOf(hex: string): string {
  invariant(/^#[0-9a-f]{6}$/i.test(hex), `a figure has the colour ${hex}`);
  return [1, 3, 5].map((at) => number(Number.parseInt(hex.slice(at, at + 2), 16) / 255)).join(' ');
}

interface Segment {
  readonly command: string;
  readonly values: readonly number[];
}

const arity: Readonly<Record<string, number>> = { M: 2, L: 2, Q: 4, C: 6, Z: 0 };

function segmentsOf(d: string): Segment[] {
  return Array.from(d.matchAll(/([A-Za-z])([^A-Za-z]*)/g), ([, command, text]) => {
    const values = (text ?? '')
      .trim()
      .split(/[\s,]+/)
      .filter(Boolean)
      .map(Number);
    invariant(
      values.length === arity[command!] && values.every(Number.isFinite),
      `a figure has the path part ${command}${text}`,
    );
    return { command: command!, values };
  });
}

function pathOperators(d: string): string {
  const operator: Readonly<Record<string, string>> = { M: 'm', L: 'l', C: 'c', Q: 'c', Z: 'h' };
  let [x, y] = [0, 0];
  return segmentsOf(d)
    .map(({ command, values }) => {
      const cubic = command === 'Q' ? cubicOf(x, y, values) : values;
      if (values.length > 0) [x, y] = values.slice(-2) as [number, number];
      return [...cubic.map(number), operator[command]].join(' ');
    })
    .join(' ');
}

/** The cubic curve that a quadratic one from (x, y) is. */
function cubicOf(x: number, y: number, [cx = 0, cy = 0, ex = 0, ey = 0]: readonly number[]): number[] {
  const towards = (from: number, control: number) => from + (2 / 3) * (control - from);
  return [towards(x, cx), towards(y, cy), towards(ex, cx), towards(ey, cy), ex, ey];
}

/** The box around a path's points; those of our gradients have straight sides. */
function boxOf(d: string): { x: number; y: number; width: number; height: number } {
  const values = segmentsOf(d).flatMap((segment) => segment.values);
  const xs = values.filter((_, k) => k % 2 === 0);
  const ys = values.filter((_, k) => k % 2 === 1);
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
}
