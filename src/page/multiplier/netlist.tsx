// The gates of a multiplier as a drawing: inputs left, product right, columns by the number of gates in between. It can
// be zoomed and moved, the gate under the pointer or the cursor of the keys tells its function, and what it is made of
// stands out. The drawing itself is made once; what stands out is drawn over it.

import { memo } from 'preact/compat';
import { useMemo, useState } from 'preact/hooks';
import { type Layered, layered } from '../../report/layered.ts';
import type { DrawnNetlist } from '../../serve/api.ts';
import { showing, usePanZoom } from '../pan-zoom.ts';
import { hasMoved } from '../pointer.ts';
import { actOnKey, ZoomTools } from '../zoom-tools.tsx';
import { type Cone, coneOf, functionOf, gateSigns, namesInShort } from './cone.ts';

/** Columns stand at least so far apart, and so far that the drawing has the shape of a screen. */
const COLUMN = 104;
const SHAPE = 1.8;
const ROW = 22;
const [WIDTH, HEIGHT] = [46, 16];
const MARGIN = 60;
const MOST_SCALE = 24;

/** The netlist with its outputs as nodes behind it, and the places of all. */
interface Drawing extends Layered {
  readonly netlist: DrawnNetlist;
  readonly pitch: number;
  readonly width: number;
  readonly height: number;
  readonly fanouts: readonly (readonly number[])[];
}

function drawingOf(netlist: DrawnNetlist): Drawing {
  const { nodes, outputs } = netlist;
  const all = [...nodes, ...outputs.map(({ node }) => ({ fanins: [node] }))];
  const found = layered(
    all,
    outputs.map((_, at) => nodes.length + at),
  );
  const fanouts: number[][] = nodes.map(() => []);
  nodes.forEach(({ fanins }, at) => {
    for (const fanin of fanins) fanouts[fanin]!.push(at);
  });
  const height = found.rows * ROW + 20;
  const gaps = Math.max(1, found.columns - 1);
  const pitch = Math.max(COLUMN, (SHAPE * height - WIDTH - 2 * MARGIN) / gaps);
  return { ...found, ...{ netlist, fanouts, pitch, height }, width: gaps * pitch + WIDTH + 2 * MARGIN };
}

const centre = ({ places, pitch }: Drawing, node: number) => ({
  x: MARGIN + WIDTH / 2 + places[node]!.column * pitch,
  y: 10 + ROW / 2 + places[node]!.row * ROW,
});

function wiresInto(drawing: Drawing, node: number): string {
  const { nodes, outputs } = drawing.netlist;
  const fanins = node < nodes.length ? nodes[node]!.fanins : [outputs[node - nodes.length]!.node];
  const to = centre(drawing, node);
  const end = to.x - WIDTH / 2;
  return fanins
    .map((fanin) => {
      const from = centre(drawing, fanin);
      const start = from.x + WIDTH / 2;
      const bend = Math.min(0.6 * drawing.pitch, (end - start) / 2);
      const point = (value: number) => Math.round(10 * value) / 10;
      return `M${point(start)} ${point(from.y)}C${point(start + bend)} ${point(from.y)} ${point(end - bend)} ${point(to.y)} ${point(end)} ${point(to.y)}`;
    })
    .join('');
}

/** Constants that nothing reads are not drawn. */
const isDrawn = ({ netlist, fanouts }: Drawing, node: number): boolean =>
  node >= netlist.nodes.length ||
  netlist.nodes[node]!.kind !== 'constant' ||
  fanouts[node]!.length > 0 ||
  netlist.outputs.some((output) => output.node === node);

function NodeMark({ drawing, node }: { readonly drawing: Drawing; readonly node: number }) {
  const { nodes, outputs } = drawing.netlist;
  const { x, y } = centre(drawing, node);
  if (node >= nodes.length) {
    return (
      <text x={x - WIDTH / 2 + 4} y={y + 4} class="port">
        {outputs[node - nodes.length]!.name}
      </text>
    );
  }
  const { kind, name } = nodes[node]!;
  if (kind === 'input' || kind === 'constant') {
    return (
      <text x={x + WIDTH / 2 - 4} y={y + 4} text-anchor="end" class="port" data-node={node}>
        {kind === 'constant' ? node : name}
      </text>
    );
  }
  return (
    <g class={`gate ${kind}`} data-node={node}>
      <rect x={x - WIDTH / 2} y={y - HEIGHT / 2} width={WIDTH} height={HEIGHT} rx={3} />
      <text x={x} y={y + 4} text-anchor="middle">
        {gateSigns[kind]}
      </text>
    </g>
  );
}

function allNodes({ netlist }: Drawing): number[] {
  return Array.from({ length: netlist.nodes.length + netlist.outputs.length }, (_, at) => at);
}

const Everything = memo(({ drawing }: { readonly drawing: Drawing }) => {
  const shown = allNodes(drawing).filter((node) => isDrawn(drawing, node));
  return (
    <>
      <path class="wires" d={shown.map((node) => wiresInto(drawing, node)).join('')} />
      {shown.map((node) => (
        <NodeMark key={node} drawing={drawing} node={node} />
      ))}
    </>
  );
});

function Outstanding({
  drawing,
  cone,
  gate,
}: {
  readonly drawing: Drawing;
  readonly cone: Cone;
  readonly gate: number;
}) {
  const members = [...cone.members].sort((a, b) => a - b);
  const { x, y } = centre(drawing, gate);
  return (
    <g class="cone">
      <path class="wires" d={members.map((node) => wiresInto(drawing, node)).join('')} />
      {members.map((node) => (
        <NodeMark key={node} drawing={drawing} node={node} />
      ))}
      <rect class="cursor" x={x - WIDTH / 2 - 3} y={y - HEIGHT / 2 - 3} width={WIDTH + 6} height={HEIGHT + 6} rx={5} />
    </g>
  );
}

export function NetlistDrawing({ netlist, label }: { readonly netlist: DrawnNetlist; readonly label: string }) {
  const drawing = useMemo(() => drawingOf(netlist), [netlist]);
  const zoom = usePanZoom<SVGSVGElement>(MOST_SCALE);
  const { element, sight, setSight, drag } = zoom;
  const [gate, setGate] = useState<number | null>(null);
  const cone = useMemo(() => (gate === null ? null : coneOf(netlist, gate)), [netlist, gate]);
  const { width, height } = drawing;
  const select = (node: number | undefined) => {
    if (node === undefined) return;
    setGate(node);
    const { x, y } = centre(drawing, node);
    setSight((before) => showing(before, { x: x / width, y: y / height }));
  };
  const onKey = (event: KeyboardEvent) => {
    actOnKey(event, zoom, {
      ArrowLeft: () => select(gate === null ? netlist.outputs[0]?.node : netlist.nodes[gate]!.fanins[0]),
      ArrowRight: () => select(gate === null ? netlist.outputs[0]?.node : drawing.fanouts[gate]![0]),
      ArrowUp: () => select(neighbour(drawing, gate, -1)),
      ArrowDown: () => select(neighbour(drawing, gate, 1)),
      Escape: () => setGate(null),
    });
  };
  const box = [sight.x * width, sight.y * height, width / sight.scale, height / sight.scale];
  return (
    <figure class="netlist">
      <ZoomTools zoom={zoom} label={label}>
        <span class="muted hint">
          drag to move; click, then wheel or + and − to zoom, arrows to walk along the wires
        </span>
      </ZoomTools>
      <svg
        ref={element}
        viewBox={box.map((value) => value.toFixed(2)).join(' ')}
        style={{ aspectRatio: `${width} / ${height}` }}
        role="application"
        aria-label={`${label}. Arrow keys walk from gate to gate, plus and minus zoom, 0 shows all.`}
        // In small letters: the names of attributes of a drawing are taken as they are.
        tabindex={0}
        class={cone ? 'dimmed' : ''}
        onKeyDown={onKey}
        onPointerDown={drag.begin}
        onPointerUp={drag.end}
        onPointerCancel={drag.end}
        onPointerLeave={(event) => {
          if (hasMoved(event)) setGate(null);
        }}
        onPointerMove={(event) => {
          if (!drag.move(event) && hasMoved(event)) setGate(nodeUnder(event));
        }}
        onClick={(event) => setGate(nodeUnder(event))}
      >
        <g class="all">
          <Everything drawing={drawing} />
        </g>
        {cone && gate !== null && <Outstanding drawing={drawing} cone={cone} gate={gate} />}
      </svg>
      <figcaption class="told" aria-live="polite" data-testid="gate">
        {cone && gate !== null ? <Told netlist={netlist} cone={cone} gate={gate} /> : 'Point at a gate.'}
      </figcaption>
    </figure>
  );
}

function nodeUnder({ target }: Event): number | null {
  const marked = (target as Element).closest?.('[data-node]')?.getAttribute('data-node');
  return marked === null || marked === undefined ? null : Number(marked);
}

/** The node above or below in its column. */
function neighbour(drawing: Drawing, gate: number | null, direction: 1 | -1): number | undefined {
  if (gate === null) return drawing.netlist.outputs[0]?.node;
  const own = drawing.places[gate]!;
  const column = drawing.netlist.nodes
    .map((_, node) => node)
    .filter((node) => drawing.places[node]!.column === own.column && isDrawn(drawing, node))
    .sort((a, b) => drawing.places[a]!.row - drawing.places[b]!.row);
  return column[column.indexOf(gate) + direction];
}

function Told({ netlist, cone, gate }: { readonly netlist: DrawnNetlist; readonly cone: Cone; readonly gate: number }) {
  const { kind, name, role } = netlist.nodes[gate]!;
  const outputs = netlist.outputs.filter(({ node }) => node === gate).map((output) => output.name);
  const drives = outputs.length === 0 ? '' : `; drives ${outputs.join(', ')}`;
  if (kind === 'input') return <strong>input {name + drives}</strong>;
  if (kind === 'constant') return <strong>{`the constant ${gate}${drives}`}</strong>;
  const inputs = namesInShort(cone.inputs);
  return (
    <>
      <strong>
        {name} = {functionOf(netlist, gate)}
      </strong>{' '}
      <span>
        {role ?? `${kind} gate`}
        {drives}; {cone.gates === 1 ? 'one gate' : `${cone.gates} gates`} of {inputs === '' ? 'no input' : inputs}
      </span>
    </>
  );
}
