// What bench/peers.mjs found, as Markdown: for each network and stage the programs side by side, the layers, and
// what is missing with its reason. Ratios are times over this program's of the same stage: above 1, the other takes
// longer.

const gib = (bytes) => (bytes ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : '–');
const batchOf = (network) => Number(/batch (\d+)/.exec(network)[1]);
const stageName = (stage) => (stage === 'float' ? 'float' : `phase ${stage}`);

function versionsOf({ device, processor, node, python = {}, ...programs }) {
  const torch = python.torch
    ? [`PyTorch ${python.torch}`, python.cuda ? `CUDA ${python.cuda}` : '', python.cudnn ? `cuDNN ${python.cudnn}` : '']
    : [];
  const others = Object.entries(programs).map(([name, commit]) => `${name} ${commit}`);
  return [device, processor, `Node.js ${node}`, ...torch, ...others].filter(Boolean).join(', ');
}

function table(heads, rows) {
  const lines = [heads, heads.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const layerCell = (layer, milliseconds) => {
  if (milliseconds === undefined) return '–';
  return `${milliseconds.toFixed(3)} ms, ${(layer.products / milliseconds / 1e9).toFixed(2)} T/s`;
};

/** The whole page. */
export function markdown({ machine, rows, layers, problems, skipped, again, seconds, command }) {
  const own = (network, stage) =>
    rows.find((row) => row.program === 'TRAM' && row.network === network && row.stage === stage);
  const steps = rows.map((row) => {
    const beside = own(row.network, row.stage);
    const ratio = beside && row !== beside ? `${(row.ms / beside.ms).toFixed(2)}` : '–';
    const speed = ((1000 * batchOf(row.network)) / row.ms).toFixed(0);
    return [
      row.network,
      stageName(row.stage),
      row.program,
      row.settings,
      row.ms.toFixed(2),
      row.best.toFixed(2),
      speed,
      ratio,
      gib(row.memory),
    ];
  });
  const heads = [
    'network',
    'stage',
    'program',
    'settings',
    'ms a step, median',
    'best',
    'images/s',
    'time over TRAM’s',
    'memory',
  ];
  const parts = [
    `${versionsOf(machine)}; \`node bench/peers.mjs ${command}\`, ${seconds.toFixed(0)} s.`,
    table(heads, steps),
  ];
  if (layers.length > 0) {
    const programs = ['ApproxTorch', 'published program', 'PyTorch'].filter((name) =>
      layers.some((layer) => layer[name]),
    );
    const kernels = layers.map((layer) => [
      layer.shape,
      ...[layer.TRAM.planes, layer.TRAM.lookUps].map((ms) => layerCell(layer, ms)),
      ...programs.map((name) => layerCell(layer, layer[name]?.forward)),
      `${layer.TRAM.gradients.toFixed(3)} ms`,
      ...programs.map((name) => (layer[name] ? `${layer[name].gradients.toFixed(3)} ms` : '–')),
    ]);
    const titles = [
      'M×K×N',
      'TRAM, planes',
      'TRAM, look-ups',
      ...programs,
      'gradients: TRAM',
      ...programs.map((name) => `gradients: ${name}`),
    ];
    parts.push(
      'Layers of ResNet18, forward by a truncation of four columns (of the others the product of matrices alone), and both gradients:',
      table(titles, kernels),
    );
  }
  if (again) {
    const [before] = rows;
    parts.push(
      `The first row once more at the end: ${again.ms.toFixed(2)} ms (${before.ms.toFixed(2)} at the beginning).`,
    );
  }
  const missing = [
    ...skipped.map(({ network, skipped: what, reason }) => `- ${network}: ${what}: ${reason}`),
    ...problems.map(({ what, reason }) => `- ${what}: ${reason}`),
  ];
  if (missing.length > 0) parts.push('Not in the table:', missing.join('\n'));
  return `${parts.join('\n\n')}\n`;
}
