// The part of the WebAssembly API that this backend uses, typed here because the project compiles without the browser's
// library.

export interface Memory {
  readonly buffer: SharedArrayBuffer;
  grow(pages: number): number;
}

declare const compiledModule: unique symbol;

/** A compiled module; it can be sent to worker threads. */
export interface Module {
  readonly [compiledModule]: true;
}

interface Api {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => Memory;
  readonly Instance: new (module: Module, imports: { env: { memory: Memory } }) => { readonly exports: object };
  readonly Module: new (bytes: Uint8Array) => Module;
  compile(bytes: Uint8Array): Promise<Module>;
}

export const WebAssembly = (globalThis as unknown as { readonly WebAssembly: Api }).WebAssembly;
