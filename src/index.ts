// TRAM as a library: the same functions that the command line calls. Nothing here prints; progress comes as events.

export type { AugmentOptions } from './data/augment.ts';
export type { Dataset, DatasetOptions, ImageSize } from './data/dataset.ts';
export { type ImageReader, type ImageSplit, streamedSplit } from './data/image-split.ts';
export { datasetOf, type LabelledImages, type MemoryDataset } from './data/memory.ts';
export { openDataset } from './data/registry.ts';
export type { Batch, Selection, Split } from './data/split.ts';
export type { Backend, Device, Program, Session } from './engine/backend.ts';
export { gradients } from './engine/graph/gradients.ts';
export { Graph, type Value } from './engine/graph/graph.ts';
export type { OpAttributes, OpName } from './engine/graph/ops.ts';
export { referenceBackend } from './engine/reference/backend.ts';
export { wasmBackend } from './engine/wasm/runtime/backend.ts';
export { type Examination, examine } from './flow/doctor/examine.ts';
export { type FlowOptions, runFlow } from './flow/flow.ts';
export { exportLogs, type LogsExported } from './flow/logs/export.ts';
export { describeModel, listModels, type ModelFacts, type ModelQuestion } from './flow/models.ts';
export { type ReportOptions, reportElsewhere } from './flow/phases/report.ts';
export { type CheckedMultiplier, type CheckFault, type CheckResult, checkRun } from './flow/results/check.ts';
export { type ComparedRun, compareRuns } from './flow/results/compare.ts';
export { type ComparedPicture, comparedPicture } from './flow/results/compared-front.ts';
export { type DataReport, type ExamineDataOptions, examineData } from './flow/results/data.ts';
export { type EvaluateOptions, type EvaluationResult, evaluateRun } from './flow/results/evaluate.ts';
export {
  type EvaluateIntegersOptions,
  evaluateIntegers,
  type IntegerEvaluation,
} from './flow/results/evaluate-integers.ts';
export {
  type Exported,
  type ExportFormat,
  type ExportOptions,
  type ExportStage,
  exportNetwork,
} from './flow/results/export.ts';
export { type ExportedForm, type ExportedRun, type ExportRunOptions, exportRun } from './flow/results/export-forms.ts';
export { type ExportForm, type ExportFormName, exportForms } from './flow/results/exports.ts';
export { type FreezeOptions, type FrozenRun, freezeRun } from './flow/results/frozen.ts';
export { summarize } from './flow/results/summarize.ts';
export type { MultiplierSummary, RunSummary } from './flow/results/summary.ts';
export { tryFolder } from './flow/results/tried.ts';
export { type DeviceOptions, openBackend } from './flow/run/device.ts';
export type { Listener, MetricRecord, RunEvent } from './flow/run/events.ts';
export type { LogOptions, MlflowOptions } from './flow/run/logs.ts';
export type { Material } from './flow/run/material.ts';
export type { Stage, StageResult } from './flow/run/stages.ts';
export {
  byHarm,
  type LayerSensitivity,
  type SensitivityReport,
  sensitivityCsv,
  type Treated,
} from './flow/sensitivity/report.ts';
export { measureSensitivity, type SensitivityEvent, type SensitivityOptions } from './flow/sensitivity/sensitivity.ts';
export { type Configuration, type ConfigurationInput, parseConfiguration, published } from './flow/settings/config.ts';
export { type Field, type FormReading, fields, namedChoices, readFields } from './flow/settings/fields.ts';
export { type Phase, phases } from './flow/settings/phases.ts';
export { type Recipe, type RecipeName, recipes } from './flow/settings/recipes.ts';
export { cheapestGrid } from './flow/sweep/cheapest.ts';
export type { SweepEvent, SweepListener } from './flow/sweep/events.ts';
export type { SweepPlan } from './flow/sweep/folder.ts';
export type { FailedTrial, PointKind, Spread, SweepPoint, SweepReport } from './flow/sweep/front.ts';
export { type Axis, type GridInput, type ListedTrial, parseAxis, readGridFile, type Trial } from './flow/sweep/grid.ts';
export { frontCsv, frontPicture, frontTex } from './flow/sweep/results.ts';
export { type JobState, type JobStatus, type StatusOptions, type SweepStatus, statusOf } from './flow/sweep/status.ts';
export {
  planSweep,
  reportSweep,
  type SweepOptions,
  sweep,
  type WorkerOptions,
  type WorkerReport,
  workOnSweep,
} from './flow/sweep/sweep.ts';
export type { Worked } from './flow/sweep/work.ts';
export type { TryEvent } from './flow/try/events.ts';
export { tryPicture } from './flow/try/picture.ts';
export {
  type FailedMultiplier,
  lastResult,
  lastTreatment,
  type TriedMultiplier,
  type TryReport,
  tryCsv,
} from './flow/try/report.ts';
export type { Measured, Treatment } from './flow/try/treatments.ts';
export { type TryOptions, tryMultipliers } from './flow/try/try.ts';
export { proveEquivalent } from './hardware/equivalence.ts';
export { type Synthesis, type SynthesisOptions, synthesize } from './hardware/synthesize.ts';
export { Comparison, type IntegerFigures, type LayerFigures } from './integer/compare.ts';
export { integerFiles, type ReadFile, readIntegerNetwork } from './integer/files.ts';
export type { FrozenLayer, FrozenMultiplier, FrozenNetwork } from './integer/frozen.ts';
export { classOf, interpreter, logitsOf, type Run, type RunOptions, type Values } from './integer/interpret.ts';
export { type LowerOptions, lower } from './integer/lower.ts';
export type { IntegerMultiplier, IntegerNetwork, IntegerOperation, IntegerTensor } from './integer/network.ts';
export { requantised, roundedQuotient } from './integer/requantise.ts';
export { type EmulationName, errorByCodes, errorsOf } from './multiplier/error.ts';
export { type HistogramWidths, readHistograms } from './multiplier/histograms.ts';
export {
  type ErrorMetrics,
  errorMetrics,
  type MetricsReport,
  metricsReport,
  type OperandHistograms,
} from './multiplier/metrics.ts';
export { concreteMultiplier, type Multiplier } from './multiplier/multiplier.ts';
export { columnCosts, networkPower } from './multiplier/power.ts';
export { type PartialProductRemoval, removedPartialProducts } from './multiplier/removal.ts';
export { defaultSmoothing, type Slopes, type Smoothing, slopesOf } from './multiplier/slopes.ts';
export {
  columnStructure,
  expandTheta,
  powerPerMultiplication,
  productStructure,
  removalOf,
  type Structure,
  structureOf,
  structurePower,
} from './multiplier/structure.ts';
export { exactTable, type OperandOrder, type ProductTable, productTable } from './multiplier/table.ts';
export { targetProducts } from './multiplier/target.ts';
export type { OperandWidths } from './multiplier/widths.ts';
export { readBlif } from './netlist/blif/read.ts';
export { writeBlif } from './netlist/blif/write.ts';
export { type Artefacts, type Certificate, certify, describeCertificate, isProof } from './netlist/certify.ts';
export { loadCircuit, simulateCircuit } from './netlist/circuit.ts';
export { verifyEquivalence } from './netlist/equivalence.ts';
export { writeCHeader } from './netlist/formats/c.ts';
export { readNpy, writeNpy } from './netlist/formats/npy.ts';
export { writeRaw } from './netlist/formats/raw.ts';
export { type ReadTable, readTable, type TableOptions, type TableOrder } from './netlist/formats/read.ts';
export { readTextTable, writeTextTable } from './netlist/formats/text.ts';
export { arrayMultiplier } from './netlist/generators/array.ts';
export { generate, generateFromSpec, generators } from './netlist/generators/registry.ts';
export { mapStructure } from './netlist/mapping/map.ts';
export type { SearchCount, SearchStatistics } from './netlist/mapping/statistics.ts';
export type { MappedMultiplier, MappingOptions, SearchParameters } from './netlist/mapping/task.ts';
export type { Network } from './netlist/network.ts';
export { simulate } from './netlist/simulate.ts';
export { describeStructure, unitGateCost } from './netlist/structure.ts';
export { readVerilog } from './netlist/verilog/read.ts';
export { writeVerilog } from './netlist/verilog/write.ts';
export type { ConvSpec, Layers, MultiplyingLayer } from './nn/layers.ts';
export type { ModelBuilder, ModelCard } from './nn/models/model.ts';
export { type Model, models } from './nn/models/registry.ts';
export { type ComparedMultiplier, comparisonTable } from './report/comparison.ts';
export { type CurvePoint, curvesSvg, type PhaseCurves, type ThetaPoint, thetaSvg } from './report/curves.ts';
export { type DotDiagram, dotDiagramSvg } from './report/dots.ts';
export {
  dominates,
  dominators,
  type FrontPoint,
  type FrontSeries,
  front,
  type PowerKind,
  powerKinds,
  powerTitles,
} from './report/front.ts';
export { type FrontPictureOptions, frontSvg, NARROW_FRAME } from './report/front-picture.ts';
export { type ErrorTable, errorHeatmapSvg, errorHistogramSvg } from './report/heatmap.ts';
export { type DrawnLayer, layersPicture } from './report/layers.ts';
export { svgToPdf } from './report/pdf.ts';
export { type PngOptions, svgToPng } from './report/png.ts';
export { openTensorFile, type TensorDictionary, type TensorFile } from './tensor/checkpoint-file.ts';
export { UserError } from './tensor/errors.ts';
export { describeTensors, type TensorFacts, type TensorStatistics } from './tensor/inspect.ts';
export { type Mean, meanOf } from './tensor/statistics.ts';
export { readStored, type StoredTensor } from './tensor/stored.ts';
export { type HostTensor, tensor } from './tensor/tensor.ts';
export {
  type ComparedRow,
  type CompareOptions,
  type ComparisonReport,
  comparedFigures,
  compareMultipliers,
  comparisonReport,
  synthesizeRows,
} from './workbench/compare.ts';
export {
  type Drawing,
  drawMultiplier,
  type FigureOptions,
  multiplierFigures,
  type NamedFigure,
} from './workbench/figures.ts';
export { multiplierReport, type WrittenMultiplier, writeMultiplier } from './workbench/files.ts';
export {
  type GeneratedPlaces,
  generateProved,
  type ListedGenerator,
  listGenerators,
  type ProvedMultiplier,
  writeGenerated,
} from './workbench/generate.ts';
export type { OperandBits } from './workbench/import.ts';
export { type LoadedMultiplier, type LoadOptions, loadMultiplier, productsOf } from './workbench/load.ts';
export { type MapOptions, mapMultiplier, type ProvedMapping } from './workbench/map.ts';
export { type MeasureOptions, measure } from './workbench/measure.ts';
export { loadHistograms, operandWidths } from './workbench/operands.ts';
export {
  type SynthesisedPower,
  synthesisedPower,
  Technology,
  type TechnologyOptions,
} from './workbench/synthesised-power.ts';
export {
  type MultiplierSynthesisOptions,
  openLibraries,
  synthesizeMultiplier,
} from './workbench/synthesize.ts';
export { type TableFileOptions, tableFile } from './workbench/tables.ts';
export { type VerifyOptions, verifyMultipliers } from './workbench/verify.ts';
