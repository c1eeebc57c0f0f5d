// The forms in which a network of a run leaves the program. To add one: an exporter in src/export/, and its row here.

import type { ExportFiles, ExportInput } from '../../export/exporter.ts';
import type { ArraySize } from '../../export/rtl/interface.ts';
import type { LibertyText } from '../../hardware/liberty/read.ts';
import type { IntegerFigures } from '../../integer/compare.ts';

export { type Simulator, simulators, simulatorTitles } from '../../export/testbench/simulators.ts';
export type { ArraySize };

/** What forms can be asked for besides; each reads what concerns it. */
export interface FormOptions {
  /** Processing elements of a systolic array. */
  readonly array?: ArraySize;
  /** Layers by name; default: the first and the last whose multiplier is not exact. */
  readonly layers?: readonly string[];
  /** A cell library for figures of hardware; default: the built-in gates. */
  readonly liberty?: readonly LibertyText[];
  /** How hard elements are synthesised for those figures: `quick` takes seconds, `best` (the default) minutes. */
  readonly effort?: 'quick' | 'best';
}

export interface ExportForm {
  readonly name: string;
  /** For people, one line. */
  readonly what: string;
  readonly load: () => Promise<(input: ExportInput, options: FormOptions) => ExportFiles | Promise<ExportFiles>>;
}

/** The forms that a network is exported in, in the order in which they are written. */
export const exportForms = [
  {
    name: 'integer',
    what: 'integers: codes, biases, requantisation, proved widths; with a report of what differs',
    load: async () => (await import('../../export/integer/export.ts')).exportIntegers,
  },
  {
    name: 'pytorch',
    what: 'one readable network.py of table look-ups with its weights; it compares itself with the program',
    load: async () => (await import('../../export/pytorch/exporter.ts')).exportPyTorch,
  },
  {
    name: 'rtl',
    what: 'Verilog: multipliers, systolic arrays, a top per layer; with their cost beside exact ones',
    load: async () => (await import('../../export/rtl/exporter.ts')).exportRtl,
  },
  {
    name: 'testbench',
    what: 'layers with values of test images, and benches of their Verilog for Icarus, Verilator and cocotb',
    load: async () => (await import('../../export/testbench/exporter.ts')).exportTestbench,
  },
  {
    name: 'onnx',
    what: 'ONNX for ONNX Runtime: QuantizeLinear and DequantizeLinear; approximate layers as functions with their table',
    load: async () => (await import('../../export/onnx/exporter.ts')).exportOnnx,
  },
  {
    name: 'qonnx',
    what: 'QONNX for hls4ml and FINN: Quant nodes; approximate layers as functions with their table',
    load: async () => (await import('../../export/onnx/exporter.ts')).exportQonnx,
  },
  {
    name: 'c',
    what: 'C: a header for each multiplier, the network as one C99 file without allocation, and its test',
    load: async () => {
      const { exportC } = await import('../../export/c/exporter.ts');
      return (input) => exportC(input);
    },
  },
] as const satisfies readonly ExportForm[];

export type ExportFormName = (typeof exportForms)[number]['name'];
export const exportFormNames: readonly ExportFormName[] = exportForms.map(({ name }) => name);

/** Test images that forms compare on and take golden values from, where no number is given. */
export const EXPORT_IMAGES = 100;

/** The report of a network as integers, in Markdown. */
export async function integerReport(of: string, figures: IntegerFigures): Promise<string> {
  return (await import('../../export/integer/report.ts')).integerReport(of, figures);
}
