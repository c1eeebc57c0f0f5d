// `tram doctor`: what works here and what is missing, each with what to do about it.

import { type Command, Option } from 'commander';
import type { Examination, Trial } from '../../flow/doctor/examine.ts';
import { Exit } from '../failure.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { type Style, styleFor } from '../style.ts';

const AFTER = `
Tries things rather than asking for them: WebAssembly SIMD and threads are run, every device computes something. Writes nothing.
The exit code is 1 when something that every run needs does not work.

Examples:
  tram doctor
  tram doctor --json
`;

export function defineDoctor(command: Command, { stdout }: Services): void {
  command
    .description('Checks this machine and this installation: what works, what is missing, and what to do about it.')
    .addOption(new Option('--json', 'print one JSON object').helpGroup('Output:'))
    .addHelpText('after', AFTER);
  command.action(async () => {
    const { examine } = await import('../../flow/doctor/examine.ts');
    const report = await examine();
    const style = styleFor(stdout, wantsColor(command));
    stdout.write(command.opts().json ? `${JSON.stringify(inJson(report))}\n` : reportText(report, style));
    if (!report.healthy) throw new Exit(1);
  });
}

const LEAST_DISK = 2 ** 30;

/** Libraries by name: the version, or null. */
function inJson(report: Examination) {
  return { ...report, libraries: Object.fromEntries(report.libraries.map(({ name, version }) => [name, version])) };
}

function reportText(report: Examination, style: Style): string {
  const { node, machine, disk, webassembly, devices, cuda, libraries, data, healthy } = report;
  const good = style.green('✓');
  const bad = style.red('✗');
  const line = (mark: string, name: string, text: string) => `${mark} ${name.padEnd(20)} ${text}`;
  const trial = (name: string, { works, detail }: Trial) => line(works ? good : bad, name, detail);
  const missing = libraries.filter((library) => library.version === null);
  const installed = libraries.map(({ name, version, optional }) => {
    return `${name} ${version ?? (optional ? 'missing, not needed by every run' : 'missing')}`;
  });
  const [fair, whole] = [missing.every(({ optional }) => optional), missing.length === 0];
  const cudaLines = () => {
    const none = style.dim('–');
    if (!cuda.available) return [line(none, 'device cuda', `${cuda.reason}; ${cuda.hint}`)];
    const names = cuda.devices.map(({ ordinal, name, capability, memoryBytes }) =>
      line(good, `GPU ${ordinal}`, `${name}, ${gibibytes(memoryBytes)}, compute capability ${capability / 10}`),
    );
    return [
      trial('device cuda', devices.cuda),
      ...names,
      line(good, 'NVIDIA driver', `CUDA ${cuda.driverVersion}, ${cuda.driverLibrary}`),
      line(good, 'NVRTC', `${cuda.compilerVersion}, ${cuda.compilerLibrary}`),
      cuda.ncclVersion === null
        ? line(none, 'NCCL', `needed for several GPUs together: ${cuda.ncclLibrary}`)
        : line(good, 'NCCL', `${cuda.ncclVersion}, ${cuda.ncclLibrary}`),
    ];
  };
  const roomy = disk.freeBytes >= LEAST_DISK;
  const lines = [
    line(good, 'tram', report.tram),
    line(node.works ? good : bad, 'Node', `${node.version} (needs ${node.required} or newer)`),
    line(good, 'platform', `${machine.platform}, ${machine.processor}`),
    line(good, 'cores', String(machine.cores)),
    line(good, 'memory', `${gibibytes(machine.memoryBytes)}, ${gibibytes(machine.freeMemoryBytes)} free`),
    line(roomy ? good : style.yellow('!'), 'disk for runs', `${gibibytes(disk.freeBytes)} free in ${disk.path}`),
    trial('WebAssembly SIMD', webassembly.simd),
    trial('WebAssembly threads', webassembly.threads),
    trial('device wasm', devices.wasm),
    trial('device reference', devices.reference),
    ...cudaLines(),
    line(whole ? good : fair ? style.yellow('!') : bad, 'libraries', installed.join(', ')),
    line(data.works ? good : bad, 'data: digits', `${data.path}, ${data.detail}`),
    '',
    healthy ? 'Ready: try tram run' : style.red('Not ready: see the lines marked ✗'),
  ];
  return `${lines.join('\n')}\n`;
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
