// The messages of an ONNX file that we read and write: those of onnx.proto (github.com/onnx/onnx, onnx/onnx.in.proto of
// version 1.23, IR version 13) and their fields by number. Left out, and skipped when read: training, sequences, maps,
// optional and sparse values, sharding over devices.

import { type Draft, decode, encode, type Table } from './messages.ts';

export interface StringEntry {
  readonly key?: string;
  readonly value?: string;
}

export interface OperatorSetId {
  /** Absent or '': the standard operators. */
  readonly domain?: string;
  readonly version?: number;
}

export interface Dimension {
  readonly dimValue?: number;
  /** A name in place of a number. */
  readonly dimParam?: string;
}

export interface TensorShape {
  readonly dim: readonly Dimension[];
}

export interface TensorTypeProto {
  readonly elemType?: number;
  readonly shape?: TensorShape;
}

export interface TypeProto {
  /** Absent where the value is no tensor. */
  readonly tensorType?: TensorTypeProto;
}

export interface ValueInfo {
  readonly name?: string;
  readonly type?: TypeProto;
  readonly docString?: string;
}

export interface TensorProto {
  readonly dims: readonly number[];
  readonly dataType?: number;
  readonly name?: string;
  readonly docString?: string;
  readonly floatData: readonly number[];
  readonly int32Data: readonly number[];
  readonly int64Data: readonly number[];
  readonly doubleData: readonly number[];
  readonly uint64Data: readonly number[];
  readonly stringData: readonly Uint8Array[];
  readonly rawData?: Uint8Array;
  readonly externalData: readonly StringEntry[];
  /** 1: in another file, of which `externalData` tells. */
  readonly dataLocation?: number;
}

export interface AttributeProto {
  readonly name?: string;
  /** In a function: the attribute of the function that stands here. */
  readonly refAttrName?: string;
  readonly docString?: string;
  readonly type?: number;
  readonly f?: number;
  readonly i?: number;
  /** UTF-8. */
  readonly s?: Uint8Array;
  readonly t?: TensorProto;
  readonly g?: GraphProto;
  readonly floats: readonly number[];
  readonly ints: readonly number[];
  readonly strings: readonly Uint8Array[];
  readonly tensors: readonly TensorProto[];
  readonly graphs: readonly GraphProto[];
}

export interface NodeProto {
  /** '': an optional input that is not given. */
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly name?: string;
  readonly opType?: string;
  readonly domain?: string;
  readonly attribute: readonly AttributeProto[];
  readonly docString?: string;
  readonly overload?: string;
  readonly metadataProps: readonly StringEntry[];
}

/** Quantisation parameters of a tensor, by the names of other tensors. */
export interface TensorAnnotation {
  readonly tensorName?: string;
  readonly quantParameterTensorNames: readonly StringEntry[];
}

export interface GraphProto {
  readonly node: readonly NodeProto[];
  readonly name?: string;
  readonly initializer: readonly TensorProto[];
  readonly docString?: string;
  readonly input: readonly ValueInfo[];
  readonly output: readonly ValueInfo[];
  readonly valueInfo: readonly ValueInfo[];
  readonly quantizationAnnotation: readonly TensorAnnotation[];
  readonly metadataProps: readonly StringEntry[];
}

/** An operator as a graph of others; nodes call it by its domain and name. */
export interface FunctionProto {
  readonly name?: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute: readonly string[];
  readonly attributeProto: readonly AttributeProto[];
  readonly node: readonly NodeProto[];
  readonly docString?: string;
  readonly opsetImport: readonly OperatorSetId[];
  readonly domain?: string;
  readonly overload?: string;
  readonly valueInfo: readonly ValueInfo[];
}

export interface ModelProto {
  readonly irVersion?: number;
  readonly opsetImport: readonly OperatorSetId[];
  readonly producerName?: string;
  readonly producerVersion?: string;
  readonly domain?: string;
  readonly modelVersion?: number;
  readonly docString?: string;
  readonly graph?: GraphProto;
  readonly metadataProps: readonly StringEntry[];
  readonly functions: readonly FunctionProto[];
}

const stringEntry: Table<StringEntry> = { key: [1, 'one', 'text'], value: [2, 'one', 'text'] };

const operatorSetId: Table<OperatorSetId> = { domain: [1, 'one', 'text'], version: [2, 'one', 'integer'] };

const dimension: Table<Dimension> = { dimValue: [1, 'one', 'integer'], dimParam: [2, 'one', 'text'] };

const tensorShape: Table<TensorShape> = { dim: [1, 'many', () => dimension] };

const tensorType: Table<TensorTypeProto> = { elemType: [1, 'one', 'integer'], shape: [2, 'one', () => tensorShape] };

const type: Table<TypeProto> = { tensorType: [1, 'one', () => tensorType] };

const valueInfo: Table<ValueInfo> = {
  name: [1, 'one', 'text'],
  type: [2, 'one', () => type],
  docString: [3, 'one', 'text'],
};

const tensor: Table<TensorProto> = {
  dims: [1, 'many', 'integer'],
  dataType: [2, 'one', 'integer'],
  floatData: [4, 'packed', 'float'],
  int32Data: [5, 'packed', 'integer'],
  stringData: [6, 'many', 'bytes'],
  int64Data: [7, 'packed', 'integer'],
  name: [8, 'one', 'text'],
  rawData: [9, 'one', 'bytes'],
  doubleData: [10, 'packed', 'double'],
  uint64Data: [11, 'packed', 'integer'],
  docString: [12, 'one', 'text'],
  externalData: [13, 'many', () => stringEntry],
  dataLocation: [14, 'one', 'integer'],
};

const attribute: Table<AttributeProto> = {
  name: [1, 'one', 'text'],
  f: [2, 'one', 'float'],
  i: [3, 'one', 'integer'],
  s: [4, 'one', 'bytes'],
  t: [5, 'one', () => tensor],
  g: [6, 'one', () => graph],
  floats: [7, 'many', 'float'],
  ints: [8, 'many', 'integer'],
  strings: [9, 'many', 'bytes'],
  tensors: [10, 'many', () => tensor],
  graphs: [11, 'many', () => graph],
  docString: [13, 'one', 'text'],
  type: [20, 'one', 'integer'],
  refAttrName: [21, 'one', 'text'],
};

const node: Table<NodeProto> = {
  input: [1, 'many', 'text'],
  output: [2, 'many', 'text'],
  name: [3, 'one', 'text'],
  opType: [4, 'one', 'text'],
  attribute: [5, 'many', () => attribute],
  docString: [6, 'one', 'text'],
  domain: [7, 'one', 'text'],
  overload: [8, 'one', 'text'],
  metadataProps: [9, 'many', () => stringEntry],
};

const annotation: Table<TensorAnnotation> = {
  tensorName: [1, 'one', 'text'],
  quantParameterTensorNames: [2, 'many', () => stringEntry],
};

const graph: Table<GraphProto> = {
  node: [1, 'many', () => node],
  name: [2, 'one', 'text'],
  initializer: [5, 'many', () => tensor],
  docString: [10, 'one', 'text'],
  input: [11, 'many', () => valueInfo],
  output: [12, 'many', () => valueInfo],
  valueInfo: [13, 'many', () => valueInfo],
  quantizationAnnotation: [14, 'many', () => annotation],
  metadataProps: [16, 'many', () => stringEntry],
};

const functionTable: Table<FunctionProto> = {
  name: [1, 'one', 'text'],
  input: [4, 'many', 'text'],
  output: [5, 'many', 'text'],
  attribute: [6, 'many', 'text'],
  node: [7, 'many', () => node],
  docString: [8, 'one', 'text'],
  opsetImport: [9, 'many', () => operatorSetId],
  domain: [10, 'one', 'text'],
  attributeProto: [11, 'many', () => attribute],
  valueInfo: [12, 'many', () => valueInfo],
  overload: [13, 'one', 'text'],
};

const model: Table<ModelProto> = {
  irVersion: [1, 'one', 'integer'],
  producerName: [2, 'one', 'text'],
  producerVersion: [3, 'one', 'text'],
  domain: [4, 'one', 'text'],
  modelVersion: [5, 'one', 'integer'],
  docString: [6, 'one', 'text'],
  graph: [7, 'one', () => graph],
  opsetImport: [8, 'many', () => operatorSetId],
  metadataProps: [14, 'many', () => stringEntry],
  functions: [25, 'many', () => functionTable],
};

/** The tables by the names of their messages in onnx.proto. */
export const messageTables = {
  StringStringEntryProto: stringEntry,
  OperatorSetIdProto: operatorSetId,
  Dimension: dimension,
  TensorShapeProto: tensorShape,
  Tensor: tensorType,
  TypeProto: type,
  ValueInfoProto: valueInfo,
  TensorProto: tensor,
  AttributeProto: attribute,
  NodeProto: node,
  TensorAnnotation: annotation,
  GraphProto: graph,
  FunctionProto: functionTable,
  ModelProto: model,
} as const;

/** Which field of an attribute holds its value. */
export const attributeTypes = {
  FLOAT: 1,
  INT: 2,
  STRING: 3,
  TENSOR: 4,
  GRAPH: 5,
  FLOATS: 6,
  INTS: 7,
  STRINGS: 8,
  TENSORS: 9,
  GRAPHS: 10,
} as const;

/** The model that a file holds. Throws a UserError that names file, offset and field. */
export function readModel(bytes: Uint8Array, file: string): ModelProto {
  return decode(model, bytes, file);
}

export function writeModel(draft: Draft<ModelProto>): Uint8Array {
  return encode(model, draft);
}
