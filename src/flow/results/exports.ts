// The forms in which a network of a run leaves the program. To add one: an exporter in src/export/, and its row here.

import type { ExportFiles, ExportInput } from '../../export/exporter.ts';

export interface ExportForm {
  readonly name: string;
  /** For people, one line. */
  readonly what: string;
  readonly load: () => Promise<(input: ExportInput) => ExportFiles | Promise<ExportFiles>>;
}

export const exportForms = [
  {
    name: 'integer',
    what: 'integers: codes, biases, requantisation, proved widths; with a report of what differs',
    load: async () => (await import('../../export/integer/export.ts')).exportIntegers,
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
] as const satisfies readonly ExportForm[];

export type ExportFormName = (typeof exportForms)[number]['name'];
export const exportFormNames: readonly ExportFormName[] = exportForms.map(({ name }) => name);

/** Test images that forms compare on and take golden values from, where no number is given. */
export const EXPORT_IMAGES = 100;
