// The CUDA driver API by FFI (koffi → libcuda): one table of signatures, one `check` through which every status goes,
// and thin objects for devices, memory, streams, events, modules and graphs. Nothing is loaded before a `Driver` is
// made. A failing call throws an Error with the call's name and CUDA's name for the status. All calls are made on one
// thread, whose current context is the device's primary one.

import type koffi from 'koffi';
import { invariant, TooLargeError } from '../../../tensor/errors.ts';
import type { Address } from '../lower/launch.ts';

type Handle = bigint;
type Native = (...values: readonly unknown[]) => unknown;

const signatures = {
  cuInit: 'int cuInit(uint flags)',
  cuDriverGetVersion: 'int cuDriverGetVersion(void *version)',
  cuGetErrorName: 'int cuGetErrorName(int status, void *name)',
  cuGetErrorString: 'int cuGetErrorString(int status, void *text)',
  cuDeviceGetCount: 'int cuDeviceGetCount(void *count)',
  cuDeviceGet: 'int cuDeviceGet(void *device, int ordinal)',
  cuDeviceGetName: 'int cuDeviceGetName(void *name, int length, int device)',
  cuDeviceTotalMem: 'int cuDeviceTotalMem_v2(void *bytes, int device)',
  cuDeviceGetAttribute: 'int cuDeviceGetAttribute(void *value, int attribute, int device)',
  cuDevicePrimaryCtxRetain: 'int cuDevicePrimaryCtxRetain(void *context, int device)',
  cuDevicePrimaryCtxRelease: 'int cuDevicePrimaryCtxRelease_v2(int device)',
  cuCtxSetCurrent: 'int cuCtxSetCurrent(void *context)',
  cuMemGetInfo: 'int cuMemGetInfo_v2(void *free, void *total)',
  cuMemAlloc: 'int cuMemAlloc_v2(void *address, size_t bytes)',
  cuMemFree: 'int cuMemFree_v2(uint64_t address)',
  cuMemHostAlloc: 'int cuMemHostAlloc(void *pointer, size_t bytes, uint flags)',
  cuMemFreeHost: 'int cuMemFreeHost(void *pointer)',
  cuMemcpyHtoDAsync: 'int cuMemcpyHtoDAsync_v2(uint64_t to, void *from, size_t bytes, void *stream)',
  cuMemcpyDtoHAsync: 'int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream)',
  cuMemsetD8Async: 'int cuMemsetD8Async(uint64_t to, uint8_t value, size_t bytes, void *stream)',
  cuCtxGetStreamPriorityRange: 'int cuCtxGetStreamPriorityRange(void *least, void *greatest)',
  cuStreamCreate: 'int cuStreamCreateWithPriority(void *stream, uint flags, int priority)',
  cuStreamDestroy: 'int cuStreamDestroy_v2(void *stream)',
  cuStreamBeginCapture: 'int cuStreamBeginCapture_v2(void *stream, int mode)',
  cuStreamEndCapture: 'int cuStreamEndCapture(void *stream, void *graph)',
  cuStreamSynchronize: 'int cuStreamSynchronize(void *stream)',
  cuEventCreate: 'int cuEventCreate(void *event, uint flags)',
  cuEventDestroy: 'int cuEventDestroy_v2(void *event)',
  cuEventRecord: 'int cuEventRecord(void *event, void *stream)',
  cuEventQuery: 'int cuEventQuery(void *event)',
  cuEventSynchronize: 'int cuEventSynchronize(void *event)',
  cuEventElapsedTime: 'int cuEventElapsedTime(void *milliseconds, void *start, void *end)',
  cuModuleLoadData: 'int cuModuleLoadData(void *module, void *image)',
  cuModuleUnload: 'int cuModuleUnload(void *module)',
  cuModuleGetFunction: 'int cuModuleGetFunction(void *function, void *module, const char *name)',
  cuFuncSetAttribute: 'int cuFuncSetAttribute(void *function, int attribute, int value)',
  cuLaunchKernel:
    'int cuLaunchKernel(void *function, uint gx, uint gy, uint gz, uint bx, uint by, uint bz, uint shared, void *stream, void *params, void *extra)',
  cuGraphCreate: 'int cuGraphCreate(void *graph, uint flags)',
  cuGraphAddKernelNode:
    'int cuGraphAddKernelNode_v2(void *node, void *graph, void *dependencies, size_t count, void *parameters)',
  cuGraphAddChildGraphNode:
    'int cuGraphAddChildGraphNode(void *node, void *graph, void *dependencies, size_t count, void *child)',
  cuGraphInstantiate: 'int cuGraphInstantiateWithFlags(void *exec, void *graph, uint64_t flags)',
  cuGraphLaunch: 'int cuGraphLaunch(void *exec, void *stream)',
  cuGraphDestroy: 'int cuGraphDestroy(void *graph)',
  cuGraphExecDestroy: 'int cuGraphExecDestroy(void *exec)',
} as const;

type Call = keyof typeof signatures;

/** Device attributes by CUDA's numbers. */
const attributes = {
  clockKilohertz: 13,
  multiprocessors: 16,
  l2Bytes: 38,
  computeMajor: 75,
  computeMinor: 76,
  sharedBytesPerBlock: 97,
} as const;

const NOT_READY = 600;
const EVENT_DISABLE_TIMING = 2;
const STREAM_NON_BLOCKING = 1;
/** Whoever captures may do anything else meanwhile: that takes several turns of the event loop. */
const CAPTURE_RELAXED = 2;
/** Kernels keep the priority of the stream on which they were captured. */
const USE_NODE_PRIORITY = 8;
/** Page-locked memory that every context and the device itself can address. */
const HOST_PORTABLE_MAPPED = 3;
const MAX_DYNAMIC_SHARED = 8;
const LAUNCH_BUFFER_POINTER = 1n;
const LAUNCH_BUFFER_SIZE = 2n;
const LAUNCH_END = 0n;
const MAX_ARGUMENT_BYTES = 4096;
const SIZE_OFFSET = 40;
const NODE_OFFSET = 64;
const ARGUMENT_OFFSET = 192;

/** A loaded kernel with everything that a launch needs. */
export interface PreparedKernel {
  readonly kernel: Handle;
  readonly grid: readonly number[];
  readonly block: readonly number[];
  /** Bytes of dynamic shared memory. */
  readonly shared: number;
  readonly args: Uint8Array;
}

/** A kernel, or a graph within the graph, which goes over to it. */
export type GraphNode = (PreparedKernel | { readonly child: Handle }) & { readonly dependencies: readonly number[] };

export interface DeviceProperties {
  readonly ordinal: number;
  readonly name: string;
  /** Compute capability, for example 90 for 9.0. */
  readonly capability: number;
  readonly memoryBytes: number;
  readonly multiprocessors: number;
  readonly clockHertz: number;
  readonly l2Bytes: number;
  /** Largest shared memory of one block. */
  readonly sharedBytesPerBlock: number;
}

/** The version of a driver's library, which need not be initialised for that. Throws where it tells none. */
export function versionOfDriver(ffi: typeof koffi, library: string): number {
  const version = new Int32Array(1);
  const status = ffi.load(library).func(signatures.cuDriverGetVersion)(version) as number;
  if (status !== 0) throw new Error(`cuDriverGetVersion: status ${status}`);
  return version[0]!;
}

/** The loaded driver library. */
export class Driver {
  readonly library: string;
  readonly version: number;
  readonly #koffi: typeof koffi;
  readonly #calls: Record<Call, Native>;
  /**
   * Native memory in which a launch is laid out: the list (arguments, their size), the size, the node parameters, the
   * arguments.
   */
  readonly #launch: {
    readonly memory: bigint;
    readonly words: BigUint64Array;
    readonly view: DataView;
    readonly bytes: Uint8Array;
  };

  constructor(ffi: typeof koffi, library: string) {
    this.#koffi = ffi;
    this.library = library;
    const loaded = ffi.load(library);
    const entries = Object.entries(signatures).map(([name, text]) => [name, loaded.func(text)] as const);
    this.#calls = Object.fromEntries(entries) as unknown as Record<Call, Native>;
    this.call('cuInit', 0);
    const version = new Int32Array(1);
    this.call('cuDriverGetVersion', version);
    this.version = version[0]!;

    const bytes = ARGUMENT_OFFSET + MAX_ARGUMENT_BYTES;
    const memory: bigint = ffi.address(ffi.alloc('uint8_t', bytes));
    const view = ffi.view(memory, bytes);
    this.#launch = {
      memory,
      words: new BigUint64Array(view, 0, 5),
      view: new DataView(view),
      bytes: new Uint8Array(view),
    };
  }

  /** Calls a driver function and checks its status. */
  call(name: Call, ...values: readonly unknown[]): void {
    const status = this.#calls[name](...values) as number;
    if (status !== 0) throw this.#error(name, status);
  }

  /** Whether the event has happened. */
  reached(event: Handle): boolean {
    const status = this.#calls.cuEventQuery(event) as number;
    if (status !== 0 && status !== NOT_READY) throw this.#error('cuEventQuery', status);
    return status === 0;
  }

  /** A handle or address that a driver function writes. */
  handle(name: Call, ...rest: readonly unknown[]): Handle {
    const out = new BigUint64Array(1);
    this.call(name, out, ...rest);
    return out[0]!;
  }

  launch({ kernel, grid, block, shared, args }: PreparedKernel, stream: Handle): void {
    this.call('cuLaunchKernel', kernel, ...grid, ...block, shared, stream, null, this.#layOut(args));
  }

  /** Adds a node to a graph; the driver copies the arguments. */
  addKernelNode(graph: Handle, dependencies: BigUint64Array, kernel: PreparedKernel): Handle {
    const list = this.#layOut(kernel.args);
    const { view, memory } = this.#launch;
    // CUDA_KERNEL_NODE_PARAMS_v2: function, seven 32-bit sizes, padding, kernelParams, extra, kern, context.
    view.setBigUint64(NODE_OFFSET, kernel.kernel, true);
    [...kernel.grid, ...kernel.block, kernel.shared].forEach((size, at) => {
      view.setUint32(NODE_OFFSET + 8 + 4 * at, size, true);
    });
    for (const [at, value] of [0n, list, 0n, 0n].entries()) view.setBigUint64(NODE_OFFSET + 40 + 8 * at, value, true);
    const parameters = memory + BigInt(NODE_OFFSET);
    return this.handle('cuGraphAddKernelNode', graph, dependencies, dependencies.length, parameters);
  }

  addChildNode(graph: Handle, dependencies: BigUint64Array, child: Handle): Handle {
    return this.handle('cuGraphAddChildGraphNode', graph, dependencies, dependencies.length, child);
  }

  /** Writes arguments into native memory and returns the address of the list that describes them. */
  #layOut(args: Uint8Array): bigint {
    invariant(args.length <= MAX_ARGUMENT_BYTES, `${args.length} bytes of kernel arguments`);
    const { memory, words, view, bytes } = this.#launch;
    bytes.set(args, ARGUMENT_OFFSET);
    view.setBigUint64(SIZE_OFFSET, BigInt(args.length), true);
    const pointer = memory + BigInt(ARGUMENT_OFFSET);
    words.set([LAUNCH_BUFFER_POINTER, pointer, LAUNCH_BUFFER_SIZE, memory + BigInt(SIZE_OFFSET), LAUNCH_END]);
    return memory;
  }

  /** A view of page-locked host memory. */
  viewOf(pointer: bigint, bytes: number): ArrayBuffer {
    return this.#koffi.view(pointer, bytes);
  }

  /** Keeps a device's context beyond those who use it, until the result is called: to make one takes 0.1 to 0.2 s. */
  keepContext(ordinal: number): () => void {
    this.handle('cuDevicePrimaryCtxRetain', ordinal);
    let isKept = true;
    return () => {
      // Of a device that has failed whoever used it has been told.
      if (isKept) this.#calls.cuDevicePrimaryCtxRelease(ordinal);
      isKept = false;
    };
  }

  devices(): DeviceProperties[] {
    const count = new Int32Array(1);
    this.call('cuDeviceGetCount', count);
    return Array.from({ length: count[0]! }, (_, ordinal) => this.#properties(ordinal));
  }

  #properties(ordinal: number): DeviceProperties {
    const device = new Int32Array(1);
    this.call('cuDeviceGet', device, ordinal);
    const name = new Uint8Array(256);
    this.call('cuDeviceGetName', name, name.length, device[0]);
    const bytes = new BigUint64Array(1);
    this.call('cuDeviceTotalMem', bytes, device[0]);
    const attribute = (key: keyof typeof attributes): number => {
      const value = new Int32Array(1);
      this.call('cuDeviceGetAttribute', value, attributes[key], device[0]);
      return value[0]!;
    };
    return {
      ordinal,
      name: Buffer.from(name).toString('utf8').replace(/\0.*$/s, ''),
      capability: attribute('computeMajor') * 10 + attribute('computeMinor'),
      memoryBytes: Number(bytes[0]),
      multiprocessors: attribute('multiprocessors'),
      clockHertz: attribute('clockKilohertz') * 1000,
      l2Bytes: attribute('l2Bytes'),
      sharedBytesPerBlock: attribute('sharedBytesPerBlock'),
    };
  }

  #error(name: Call, status: number): Error {
    const text = (call: 'cuGetErrorName' | 'cuGetErrorString'): string => {
      const pointer = new BigUint64Array(1);
      const known = (this.#calls[call](status, pointer) as number) === 0 && pointer[0] !== 0n;
      return known ? (this.#koffi.decode.string(pointer[0]) as string) : `status ${status}`;
    };
    const message = `${name}: ${text('cuGetErrorName')} (${text('cuGetErrorString')})`;
    return text('cuGetErrorName') === 'CUDA_ERROR_OUT_OF_MEMORY'
      ? new TooLargeError(`the GPU is out of memory (${name}); choose a smaller batch size or a smaller model`)
      : new Error(message);
  }
}

export interface ContextOptions {
  /** Whether the stream's kernels go before others that are ready. */
  readonly urgent?: boolean;
  /** Called while the device is awaited, over and over; what it throws ends the waiting. */
  readonly watch?: () => void;
}

/** One device with its primary context and the stream that all work of a session goes to. */
export class Context {
  readonly driver: Driver;
  readonly device: DeviceProperties;
  readonly stream: Handle;
  readonly #context: Handle;
  readonly #watch: (() => void) | undefined;
  readonly #graphs = new Set<Handle>();

  constructor(driver: Driver, device: DeviceProperties, { urgent = false, watch }: ContextOptions = {}) {
    this.driver = driver;
    this.device = device;
    this.#watch = watch;
    this.#context = driver.handle('cuDevicePrimaryCtxRetain', device.ordinal);
    this.use();
    const [least, greatest] = [new Int32Array(1), new Int32Array(1)];
    if (urgent) driver.call('cuCtxGetStreamPriorityRange', least, greatest);
    this.stream = driver.handle('cuStreamCreate', STREAM_NON_BLOCKING, greatest[0]);
  }

  /** Makes this device's context the thread's; a process may hold several devices. */
  use(): void {
    this.driver.call('cuCtxSetCurrent', this.#context);
  }

  allocate(bytes: number): Address {
    this.use();
    return this.driver.handle('cuMemAlloc', Math.max(256, bytes));
  }

  free(address: Address): void {
    this.use();
    this.driver.call('cuMemFree', address);
  }

  /** Page-locked host memory, which asynchronous copies need. */
  allocateHost(bytes: number): HostBuffer {
    this.use();
    const pointer = this.driver.handle('cuMemHostAlloc', Math.max(16, bytes), HOST_PORTABLE_MAPPED);
    return { pointer, bytes: new Uint8Array(this.driver.viewOf(pointer, Math.max(16, bytes))) };
  }

  freeHost({ pointer }: HostBuffer): void {
    this.use();
    this.driver.call('cuMemFreeHost', pointer);
  }

  toDevice(to: Address, from: bigint | Uint8Array, bytes: number): void {
    this.driver.call('cuMemcpyHtoDAsync', to, from, bytes, this.stream);
  }

  /** Into page-locked memory asynchronously; into other memory it returns when the copy is done. */
  toHost(to: bigint | Uint8Array, from: Address, bytes: number): void {
    this.driver.call('cuMemcpyDtoHAsync', to, from, bytes, this.stream);
  }

  fill(to: Address, value: number, bytes: number): void {
    this.driver.call('cuMemsetD8Async', to, value, bytes, this.stream);
  }

  synchronize(): void {
    this.use();
    this.driver.call('cuStreamSynchronize', this.stream);
  }

  createEvent(timing = false): Handle {
    return this.driver.handle('cuEventCreate', timing ? 0 : EVENT_DISABLE_TIMING);
  }

  record(event: Handle): void {
    this.driver.call('cuEventRecord', event, this.stream);
  }

  destroyEvent(event: Handle): void {
    this.driver.call('cuEventDestroy', event);
  }

  /** Milliseconds between two timing events that have happened. */
  elapsed(start: Handle, end: Handle): number {
    const milliseconds = new Float32Array(1);
    this.driver.call('cuEventElapsedTime', milliseconds, start, end);
    return milliseconds[0]!;
  }

  /** Resolves when the event has happened; the event loop goes on meanwhile. */
  async reached(event: Handle): Promise<void> {
    for (;;) {
      this.#watch?.();
      if (this.driver.reached(event)) return;
      await new Promise((done) => setImmediate(done));
    }
  }

  /** Resolves when all work issued so far is done. */
  async idle(): Promise<void> {
    this.use();
    const event = this.createEvent();
    this.record(event);
    await this.reached(event);
    this.destroyEvent(event);
  }

  /**
   * Resolves when nothing that was issued so far runs any more, done or failed; nobody is asked whether to wait, and no
   * process stays for it.
   */
  async drained(): Promise<void> {
    try {
      this.use();
      const event = this.createEvent();
      this.record(event);
      while (!this.driver.reached(event)) await new Promise((next) => setTimeout(next, 1).unref());
      this.destroyEvent(event);
    } catch {
      // A device that has failed runs nothing.
    }
  }

  /** Bytes of the device that nobody has taken, in this process or another. */
  freeBytes(): number {
    this.use();
    const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
    this.driver.call('cuMemGetInfo', free, total);
    return Number(free[0]);
  }

  loadModule(image: Uint8Array): Handle {
    this.use();
    return this.driver.handle('cuModuleLoadData', image);
  }

  kernel(module: Handle, name: string): Handle {
    return this.driver.handle('cuModuleGetFunction', module, name);
  }

  /** Lets a kernel use more than 48 KiB of dynamic shared memory. */
  allowShared(kernel: Handle, bytes: number): void {
    this.driver.call('cuFuncSetAttribute', kernel, MAX_DYNAMIC_SHARED, bytes);
  }

  unloadModule(module: Handle): void {
    this.use();
    this.driver.call('cuModuleUnload', module);
  }

  /** What goes to the stream from now on is not done but becomes a graph. */
  beginCapture(): void {
    this.driver.call('cuStreamBeginCapture', this.stream, CAPTURE_RELAXED);
  }

  endCapture(): Handle {
    const graph = new BigUint64Array(1);
    this.driver.call('cuStreamEndCapture', this.stream, graph);
    return graph[0]!;
  }

  /**
   * Builds and prepares a graph. Node i waits for the nodes whose numbers `dependencies` gives, all below i. Graphs
   * within it are destroyed: it has them as its own.
   */
  createGraph(nodes: readonly GraphNode[]): Handle {
    this.use();
    const graph = this.driver.handle('cuGraphCreate', 0);
    try {
      const handles: Handle[] = [];
      for (const { dependencies, ...node } of nodes) {
        const before = BigUint64Array.from(dependencies, (at) => handles[at]!);
        handles.push(
          'child' in node
            ? this.driver.addChildNode(graph, before, node.child)
            : this.driver.addKernelNode(graph, before, node),
        );
      }
      const within = nodes.some((node) => 'child' in node);
      const executable = this.driver.handle('cuGraphInstantiate', graph, within ? USE_NODE_PRIORITY : 0);
      this.#graphs.add(executable);
      return executable;
    } finally {
      for (const node of nodes) if ('child' in node) this.driver.call('cuGraphDestroy', node.child);
      this.driver.call('cuGraphDestroy', graph);
    }
  }

  replay(executable: Handle): void {
    this.driver.call('cuGraphLaunch', executable, this.stream);
  }

  /** Where it was started several times and runs, this waits for it. */
  destroyGraph(executable: Handle): void {
    this.use();
    if (this.#graphs.delete(executable)) this.driver.call('cuGraphExecDestroy', executable);
  }

  destroyGraphs(): void {
    for (const executable of this.#graphs) this.destroyGraph(executable);
  }

  dispose(): void {
    this.use();
    this.driver.call('cuStreamDestroy', this.stream);
    this.driver.call('cuDevicePrimaryCtxRelease', this.device.ordinal);
  }
}

export interface HostBuffer {
  readonly pointer: bigint;
  readonly bytes: Uint8Array;
}
