// The network of a run, layer by layer in the order of computation: how values go past layers to where they are added
// or joined, and what each layer costs: multiplications, widths, multiplier, and how much it hurts where that was
// measured.

import type { NetworkView as NetworkAnswer } from '../../serve/api.ts';
import { grouped, percent, significant } from '../../tensor/numbers.ts';
import { useAnswer } from '../answer.ts';
import type { ViewProps } from '../app.tsx';
import { type Edge, lanesOf } from '../network/lanes.ts';
import { hashOf } from '../router.ts';
import { Scroll } from '../scroll.tsx';

/** Pixels of a row, of the head, and of the lanes at most; as the style sheet has them. */
const [ROW, HEAD, LANES] = [34, 40, 150];

type Node = NetworkAnswer['graph']['nodes'][number];

export function NetworkView({ source, route: { name } }: ViewProps) {
  const isOld = (event: { readonly kind: string; readonly run?: { readonly name: string } }) =>
    event.kind === 'run' && event.run?.name === name;
  const { value, error } = useAnswer(source, 'network', { name }, isOld);
  if (error !== undefined) return <p role="alert">{error}</p>;
  if (!value) return <p role="status">Loading…</p>;
  const { graph, layers, sensitivity } = value;
  const macs = layers.reduce((sum, layer) => sum + layer.macs, 0);
  return (
    <>
      <p>
        {grouped(layers.length)} layers multiply, {grouped(macs)} times for each image.{' '}
        {sensitivity === null ? (
          <span class="muted">How much each layer hurts is not measured; tram sensitivity does that.</span>
        ) : (
          <span>
            Loss: what it rises by when the layer alone is{' '}
            {sensitivity.treated.kind === 'quantized'
              ? 'quantised'
              : `approximated by ${sensitivity.treated.multiplier.split('/').at(-1)}`}
            .
          </span>
        )}
      </p>
      {graph.withoutEdges !== null && <p class="note">{graph.withoutEdges}</p>}
      <Scroll label="Layers of the network, can be scrolled">
        <div class="network">
          <Lanes nodes={graph.nodes} />
          <Layers answer={value} />
        </div>
      </Scroll>
    </>
  );
}

const middle = (row: number): number => HEAD + (row + 0.5) * ROW;

function Lanes({ nodes }: { readonly nodes: readonly Node[] }) {
  const edges = lanesOf(nodes);
  const most = edges.reduce((top, { lane }) => Math.max(top, lane), 0);
  const apart = Math.min(14, (LANES - 20) / Math.max(1, most));
  const width = 20 + most * apart;
  const at = width - 10;
  const pathOf = ({ from, to, lane }: Edge) => {
    const [start, end] = [middle(from), middle(to)];
    if (lane === 0) return `M${at} ${start}V${end}`;
    const x = at - lane * apart;
    const bend = Math.min(10, lane * apart);
    return `M${at} ${start}H${x + bend}Q${x} ${start} ${x} ${start + bend}V${end - bend}Q${x} ${end} ${x + bend} ${end}H${at}`;
  };
  const height = HEAD + nodes.length * ROW;
  const skips = edges.filter(({ lane }) => lane > 0).length;
  return (
    <svg width={width} height={height} role="img" aria-label={`${skips} connections go past other layers`}>
      {edges.map((edge) => (
        <path key={`${edge.from} ${edge.to}`} class={edge.lane === 0 ? 'chain' : 'skip-edge'} d={pathOf(edge)} />
      ))}
      {nodes.map(({ kind, name }, row) => (
        <circle key={`${row} ${name}`} class={`place ${kind}`} cx={at} cy={middle(row)} r={5} />
      ))}
    </svg>
  );
}

const kindTitles: Readonly<Record<Node['kind'], string>> = {
  input: 'image',
  convolution: 'convolution',
  linear: 'linear',
  add: 'sum',
  concat: 'joined',
  multiply: 'gate',
  product: 'matrix product',
  pool: 'pool',
};

function Layers({ answer: { graph, layers, multipliers, sensitivity } }: { readonly answer: NetworkAnswer }) {
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  const harmOf = new Map(sensitivity?.layers.map(({ name, lossChange }) => [name, lossChange]));
  const largest = Math.max(0, ...harmOf.values());
  const mostMacs = Math.max(...layers.map(({ macs }) => macs));
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Layer</th>
          <th scope="col">what it is</th>
          <th scope="col">gives</th>
          <th scope="col" class="number">
            MACs
          </th>
          <th scope="col" aria-label="Share of the multiplications" />
          <th scope="col">bits</th>
          <th scope="col">multiplier</th>
          <th scope="col" class="number">
            gates at work
          </th>
          {sensitivity && (
            <th scope="col" class="number" aria-sort="none">
              loss
            </th>
          )}
          {sensitivity && <th scope="col" aria-label="How much it hurts" />}
        </tr>
      </thead>
      <tbody>
        {graph.nodes.map((node, row) => {
          const layer = node.kind === 'convolution' || node.kind === 'linear' ? byName.get(node.name) : undefined;
          const harm = layer && harmOf.get(layer.name);
          return (
            <tr key={`${row} ${node.name}`} class={layer ? 'layer' : 'muted'}>
              <th scope="row">{node.name}</th>
              <td>
                {kindTitles[node.kind]}
                {node.detail === '' ? '' : ` ${node.detail}`}
              </td>
              <td>{node.shape.join('×')}</td>
              <td class="number">{layer && grouped(layer.macs)}</td>
              <td>{layer && <Meter share={layer.macs / mostMacs} colour="series-1" />}</td>
              <td>{layer && `${layer.weightBits}×${layer.activationBits}`}</td>
              <td>{layer && <Multiplier layer={layer} multipliers={multipliers} />}</td>
              <td class="number">{layer?.gateShare !== undefined && percent(layer.gateShare, 1)}</td>
              {sensitivity && <td class="number">{harm !== undefined && signedLoss(harm)}</td>}
              {sensitivity && (
                <td>
                  {harm !== undefined && (
                    <Meter share={largest > 0 ? Math.max(0, harm) / largest : 0} colour="series-2" />
                  )}
                </td>
              )}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

const signedLoss = (change: number): string => (change > 0 ? `+${significant(change, 3)}` : significant(change, 3));

/** A bar; its figure stands beside it. */
function Meter({ share, colour }: { readonly share: number; readonly colour: string }) {
  return (
    <svg class="meter" width={72} height={10} aria-hidden="true">
      <rect width={72} height={10} class="ground" />
      <rect width={Math.max(1, 72 * share)} height={10} fill={`var(--${colour})`} />
    </svg>
  );
}

function Multiplier({
  layer: { multiplier },
  multipliers,
}: {
  readonly layer: NetworkAnswer['layers'][number];
  readonly multipliers: NetworkAnswer['multipliers'];
}) {
  if (multiplier === undefined) return <span class="muted">not mapped yet</span>;
  if (multiplier === null) return <span class="muted">exact</span>;
  const of = multipliers[multiplier];
  return of === undefined ? (
    <span>{multiplier}</span>
  ) : (
    <a href={hashOf({ view: 'multiplier', name: of })}>{multiplier}</a>
  );
}
