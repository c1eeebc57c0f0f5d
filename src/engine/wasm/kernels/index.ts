// The kernels' exports. A kernel has the signature (record, part, scratch): a record of pointers and numbers that
// describes one step (an @unmanaged class: the address of its fields in order, four bytes each), which of its parts to
// do, and scratch memory of the calling thread. Which parts there are follows from the shapes alone, and a part never
// reads what another part of the same step writes: results do not depend on the number of threads. Vectors may be read
// up to 15 bytes beyond the end of a tensor, never written.
export { axmDepthwise, axmDepthwiseErrorInput, axmDepthwiseErrorWeight, axmDepthwiseGradients, axmDepthwiseStructure } from './approximate-depthwise';
export { axmForwardInteger, axmForwardReal, axmForwardTable, packCodes, pixelSums } from './approximate-forward';
export { axmGradients, structureGradient } from './approximate-gradients';
export { cotangentSums, planarCodes, tileCotangent } from './approximate-operands';
export { axmErrorInput, axmErrorWeight } from './approximate-slopes';
export { convolutionForward, convolutionInputGradient, packForward, packTransposed } from './convolution';
export { convolveWinograd, packWinograd } from './convolution-winograd';
export { planeCoefficientsInteger, planeCoefficientsReal } from './approximate-rows';
export { depthwiseForward, depthwiseInputGradient, depthwiseWeightGradient } from './convolution-depthwise';
export { gatherRows, gatherRowsGradient, matrixProduct } from './matrices';
export { adam, add, affine, copy, fill, lookUp, movingAverage, sgd } from './elementwise';
export { gatherImages, mixImages } from './images';
export { dropElements, dropGroups } from './dropout';
export { meanLoss, softmaxGradient, softmaxRows } from './loss';
export { batchStatistics, bias, givenStatistics, imageToFloat, normalizationSums, normalize, normalizeGradient } from './normalization';
export { moveRuns, moveTransposed } from './movement';
export { averagePool, averagePoolGradient, maxPool, maxPoolGradient } from './pooling';
export { clipBest, clipErrors, clipRanges, clipScale, clipScaleGradient, dequantize, quantize, quantizeGradient, rangeToScale } from './quantization';
export { countExtremes, extremes, extremesGradient, finishExtremes, finishSums, shareExtremes, sums } from './reduction';
export { repeatSum } from './repeat';
export { structureMatrix, structureMatrixGradient } from './approximate-structure';
export { packCotangent, weightGradient } from './convolution-weight-gradient';

// Inner loops, exported so that the optimiser keeps them functions of their own: inlined into their only callers they
// would run out of registers, at half the speed.
export { gatherHalves, gatherInteger, gatherNarrow, gatherReal, gatherRealTriples } from './approximate-sums';
export { gatherTable, gatherTableTriples } from './approximate-sums';
export { foldPlanes, sumRuns, sumTriples } from './approximate-runs';
export { slopeColumns, slopeRows } from './approximate-slopes';
export { multiplyTile } from './convolution';
export { multiplyColumns } from './convolution-weight-gradient';

/** First byte that the module does not use for constants of its own. */
export function firstFree(): usize {
  return __heap_base;
}
