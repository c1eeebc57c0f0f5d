// A program on a GPU: the plan of every backend, lowered to kernels, built as a CUDA graph (again when the arena has
// moved) and replayed for each run. Inputs travel through page-locked buffers (staging.ts), small outputs come back
// behind every run (outputs.ts), large ones are copied on demand. Nothing waits for the device but `read`.

import { invariant } from '../../../tensor/errors.ts';
import type { TensorType } from '../../../tensor/tensor.ts';
import { allocate, byteSize, sizeOf, type TensorData } from '../../../tensor/tensor.ts';
import { POISON, type Program } from '../../backend.ts';
import type { Graph } from '../../graph/graph.ts';
import type { Plan, Storage } from '../../graph/plan.ts';
import type { Address, Target } from '../lower/launch.ts';
import { type Lower, lowerOn } from '../lower/lowerings.ts';
import { copyCommand, lowerPlan, planFor } from '../lower/program.ts';
import { launchesOf } from '../lower/schedule.ts';
import { OutputRing } from './outputs.ts';
import { type Part, partsOf, type ReadyCommand, ready } from './parts.ts';
import type { MemoryPool } from './pool.ts';
import type { CudaSession } from './session.ts';
import { PinnedInput } from './staging.ts';

/** Outputs up to this size come back with every run. */
const SMALL_OUTPUT_BYTES = 1024;

interface Output {
  readonly type: TensorType;
  readonly address: Address;
  /** Where it is in the block of small outputs, if it is one. */
  readonly offset: number | undefined;
}

/** How long one kernel of a program takes by itself. */
export interface KernelTime {
  readonly name: string;
  /** The layer that it works for, or another part of the program; '' for none. */
  readonly label: string;
  readonly grid: readonly number[];
  readonly shared: number;
  /** The numbers of the kernels that it waits for. */
  readonly dependencies: readonly number[];
  /** 0 for a reduction over replicas, which is nothing that one of them can do by itself. */
  readonly milliseconds: number;
}

/** A program over the arena where it was when this was built. */
interface Built {
  readonly generation: number;
  readonly commands: readonly ReadyCommand[];
  /** Tables and counters of the kernels. */
  readonly pool: MemoryPool;
  readonly parts: readonly Part[];
}

/** A program of this backend; benches measure its parts. */
export class CudaProgram implements Program {
  readonly arenaBytes: number;
  readonly #session: CudaSession;
  readonly #plan: Plan;
  readonly #target: Target;
  readonly #lower: Lower;
  /** Inputs, outputs and the block of small outputs. */
  readonly #pool: MemoryPool;
  readonly #own: Address;
  readonly #block: Address;
  readonly #constants: readonly Address[];
  readonly #inputs: ReadonlyMap<string, PinnedInput>;
  readonly #outputs: ReadonlyMap<string, Output>;
  readonly #ring: OutputRing;
  #built: Built | undefined;
  #building: Promise<void> | undefined;
  #disposed = false;

  static async create(graph: Graph, session: CudaSession, meet?: () => Promise<void>): Promise<CudaProgram> {
    let program: CudaProgram | undefined;
    try {
      return await session.inOrder(async () => {
        // Memory is given back and filled, and kernels are loaded: all that waits for the device.
        if (session.group) await session.quiet();
        for (;;) {
          program = new CudaProgram(graph, session);
          session.join(program, program.arenaBytes);
          try {
            await program.#ready(meet);
            return program;
          } catch (error) {
            if (!session.canDoWithout(error, program.#target)) throw error;
            program.#disposed = true;
            await program.#end();
          }
        }
      });
    } catch (error) {
      await program?.dispose();
      throw error;
    }
  }

  private constructor(graph: Graph, session: CudaSession) {
    const { context, target } = session;
    this.#session = session;
    this.#target = target;
    this.#lower = lowerOn(target);
    this.#plan = planFor(graph, this.#lower);
    this.arenaBytes = this.#plan.arenaBytes;
    this.#pool = session.newPool();
    this.#own = this.#pool.allocate(this.#plan.ownBytes);
    this.#constants = graph.constants.map(({ source }) => {
      invariant(source.kind === 'constant', 'a constant without its tensor');
      return session.constant(source.tensor.data);
    });
    this.#inputs = new Map(
      [...graph.inputs].map(([name, value]) => [
        name,
        new PinnedInput(context, name, value, this.#addressOf(this.#plan.storage(value)), session.group !== undefined),
      ]),
    );
    let smallBytes = 0;
    this.#outputs = new Map(
      [...graph.outputs].map(([name, value]) => {
        const bytes = byteSize(value);
        const offset = bytes <= SMALL_OUTPUT_BYTES ? smallBytes : undefined;
        if (offset !== undefined) smallBytes += 4 * Math.ceil(bytes / 4);
        return [name, { type: value, address: this.#addressOf(this.#plan.outputStorage(value)), offset }];
      }),
    );
    this.#block = this.#pool.allocate(smallBytes);
    this.#ring = new OutputRing(context, this.#block, smallBytes);
    session.ownBytes += this.#pool.bytes;
  }

  #addressOf(at: Storage): Address {
    switch (at.region) {
      case 'variable':
        return this.#session.variable(at.name).place;
      case 'constant':
        return this.#constants[at.index]!;
      case 'own':
        return this.#own + BigInt(at.offset);
      case 'arena':
        return this.#session.arena.address + BigInt(at.offset);
    }
  }

  /** Lowers the plan to addresses and makes the graph, in place of the one for where the arena was before. */
  async #build(meet?: () => Promise<void>): Promise<void> {
    const { context, arena } = this.#session;
    if (this.#session.group) await this.#session.quiet();
    this.#unbuild();
    const { generation } = arena;
    const pool = this.#session.newPool();
    try {
      const commands = await this.#commands(pool);
      await meet?.();
      const parts = await partsOf(commands, context, this.#session.group);
      this.#built = { generation, commands, pool, parts };
      this.#session.ownBytes += pool.bytes;
    } catch (error) {
      if (this.#session.lost) throw error;
      await this.#session.quiet();
      pool.dispose();
      throw error;
    }
  }

  /** The commands over the arena where it is; what they need beside is in the pool. */
  async #commands(pool: MemoryPool): Promise<ReadyCommand[]> {
    const { context } = this.#session;
    const place = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Address => {
      const at = pool.allocate(byteLength);
      context.toDevice(at, new Uint8Array(buffer, byteOffset, byteLength), byteLength);
      return at;
    };
    const counters = (count: number): Address => {
      const at = pool.allocate(4 * count);
      context.fill(at, 0, 4 * count);
      return at;
    };
    const memory = { counters, place };
    const of = (at: Storage) => this.#addressOf(at);
    context.use();
    const commands = lowerPlan(this.#plan, of, this.#lower, memory);
    // Whole words: memory has room for them.
    const small = [...this.#outputs.values()].flatMap(({ type, address, offset }) => {
      const words = Math.ceil(byteSize(type) / 4);
      return offset === undefined ? [] : [{ from: address, to: this.#block + BigInt(offset), words }];
    });
    if (small.length > 0) commands.push(copyCommand(small, memory));
    const prepare = await this.#session.loadKernels(launchesOf(commands));
    await this.#session.quiet();
    return ready(commands, prepare);
  }

  #unbuild(): void {
    if (!this.#built) return;
    const { pool, parts } = this.#built;
    for (const part of parts) if ('graph' in part) this.#session.context.destroyGraph(part.graph);
    this.#session.ownBytes -= pool.bytes;
    pool.dispose();
    this.#built = undefined;
  }

  /** The graph for the arena where it is now. */
  async #ready(meet?: () => Promise<void>): Promise<Built> {
    for (;;) {
      if (this.#built?.generation === this.#session.arena.generation) return this.#built;
      this.#building ??= this.#build(meet).finally(() => {
        this.#building = undefined;
      });
      await this.#building;
    }
  }

  write(name: string, data: TensorData): void {
    this.#session.checkUse(this, 'written');
    const input = this.#inputs.get(name);
    invariant(input, `the program has no input ${name}`);
    input.write(data);
  }

  run(): Promise<void> {
    return this.#session.inOrder(() => this.#run());
  }

  async #run(): Promise<void> {
    const { context, poison, group } = this.#session;
    group?.check();
    await group?.turn(context);
    this.#session.enter(this);
    await this.#ring.ready();
    const { parts } = await this.#ready();
    this.#session.checkUse(this, 'run');
    context.use();
    if (poison) this.#poison();
    for (const part of parts) {
      if ('graph' in part) context.replay(part.graph);
      else await group!.reduce(part.collective, context);
    }
    this.#ring.collect();
    this.#session.started();
  }

  /** What the kernels must write: all but the inputs. */
  #poison(): void {
    const { context, arena } = this.#session;
    const { inputBytes, ownBytes } = this.#plan;
    if (ownBytes > inputBytes) context.fill(this.#own + BigInt(inputBytes), POISON, ownBytes - inputBytes);
    if (this.arenaBytes > 0) context.fill(arena.address, POISON, this.arenaBytes);
  }

  async read(name: string): Promise<TensorData> {
    this.#session.checkUse(this, 'read');
    const output = this.#outputs.get(name);
    invariant(output, `the program has no output ${name}`);
    const { type, address, offset } = output;
    if (offset === undefined) return this.#session.readMemory(type, address);
    const data = allocate(type.dtype, sizeOf(type.shape));
    new Uint8Array(data.buffer).set(await this.#ring.read(offset, data.byteLength));
    return data;
  }

  /**
   * Runs each kernel `repeats` times in a row and measures it. Variables that a kernel updates in place are left
   * changed.
   */
  async timeKernels(repeats: number): Promise<KernelTime[]> {
    const { context } = this.#session;
    const { driver, stream } = context;
    this.#session.enter(this);
    const { commands } = await this.#ready();
    context.use();
    const [start, end] = [context.createEvent(true), context.createEvent(true)];
    const times: KernelTime[] = [];
    for (const kernel of commands) {
      const { name, label, dependencies } = kernel;
      if ('collective' in kernel) {
        times.push({ name, label, grid: [], shared: 0, dependencies, milliseconds: 0 });
        continue;
      }
      driver.launch(kernel, stream);
      context.record(start);
      for (let n = 0; n < repeats; n++) driver.launch(kernel, stream);
      context.record(end);
      await context.reached(end);
      const { grid, shared } = kernel;
      times.push({ name, label, grid, shared, dependencies, milliseconds: context.elapsed(start, end) / repeats });
    }
    for (const event of [start, end]) context.destroyEvent(event);
    return times;
  }

  /** Milliseconds of device time per run, the mean of `repeats` replays. */
  async timeRuns(repeats: number): Promise<number> {
    const { context } = this.#session;
    await this.run();
    const [start, end] = [context.createEvent(true), context.createEvent(true)];
    context.record(start);
    for (let n = 0; n < repeats; n++) await this.run();
    context.record(end);
    await context.reached(end);
    const milliseconds = context.elapsed(start, end) / repeats;
    for (const event of [start, end]) context.destroyEvent(event);
    return milliseconds;
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#session.inOrder(() => this.#end());
  }

  async #end(): Promise<void> {
    await this.#ring.settled();
    try {
      await this.#session.quiet();
    } catch (error) {
      if (!this.#session.lost) throw error;
      this.#session.leave(this);
      return;
    }
    this.#session.leave(this);
    this.#unbuild();
    for (const input of this.#inputs.values()) input.dispose();
    this.#ring.dispose();
    this.#session.ownBytes -= this.#pool.bytes;
    this.#pool.dispose();
  }
}
