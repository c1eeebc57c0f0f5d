// What the setting `model` may be beside the name of a model: the path of a file, told by how it ends.

/** An ONNX file: a network with its weights. */
export const isOnnxFile = (name: string): boolean => /\.onnx$/i.test(name) && !name.startsWith('memory:');

/** A file with a model of the user's own: a module, or an ONNX file. */
export const isModelFile = (name: string): boolean => /\.[cm]?[jt]s$/.test(name) || isOnnxFile(name);
