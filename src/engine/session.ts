// What the sessions of all backends have in common: the one home of the variables, and the arena that their programs
// share, which is as large as the largest of them needs. A backend says what a place in its memory is, and moves bytes.

import { invariant } from '../tensor/errors.ts';
import type { TensorType } from '../tensor/tensor.ts';
import { type HostTensor, sameShape, type TensorData } from '../tensor/tensor.ts';
import type { Backend, Program, Session } from './backend.ts';
import type { Graph } from './graph/graph.ts';

export interface Variable<Place> extends TensorType {
  readonly place: Place;
}

export abstract class SharedSession<Place> implements Session {
  readonly backend: Backend;
  readonly #variables = new Map<string, Variable<Place>>();
  /** The bytes of arena that each program needs. */
  readonly #needs = new Map<Program, number>();
  #latest: Program | undefined;

  constructor(backend: Backend) {
    this.backend = backend;
  }

  abstract get bytes(): number;
  /** A new place for a tensor, all zeros. */
  protected abstract allocate(type: TensorType): Place;
  protected abstract store(place: Place, tensor: HostTensor): void;
  protected abstract load(place: Place, type: TensorType): Promise<TensorData>;
  /** Plans the graph, joins with it, and takes the memory that is the program's own. */
  protected abstract build(graph: Graph, meet?: () => Promise<void>): Promise<Program>;
  /**
   * Makes the arena this large; what is in it is lost, and it may move. Throws where there is not so much, and leaves
   * it as it was.
   */
  protected abstract fitArena(bytes: number): void;
  /** In tests: poisons the arena. */
  protected abstract poisonArena(): void;
  /** Frees everything that is left. */
  protected abstract end(): Promise<void>;

  async compile(graph: Graph, meet?: () => Promise<void>): Promise<Program> {
    const { replicas } = this.backend.device;
    invariant(
      graph.replicas === 1 || graph.replicas === replicas,
      `a graph for ${graph.replicas} replicas on ${replicas}`,
    );
    for (const [name, value] of graph.variables) this.#declare(name, value);
    return await this.build(graph, meet);
  }

  variableNames(): readonly string[] {
    return [...this.#variables.keys()];
  }

  write(name: string, tensor: HostTensor): void {
    this.store(this.#declare(name, tensor).place, tensor);
  }

  async read(name: string): Promise<HostTensor> {
    const { dtype, shape, place } = this.variable(name);
    return { dtype, shape, data: await this.load(place, { dtype, shape }) };
  }

  /** Other devices are not known here. */
  async checkReplicas(): Promise<void> {}

  async dispose(): Promise<void> {
    const programs = [...this.#needs.keys()];
    this.#needs.clear();
    for (const program of programs) await program.dispose();
    this.#fit(0);
    this.#variables.clear();
    await this.end();
  }

  variable(name: string): Variable<Place> {
    const variable = this.#variables.get(name);
    invariant(variable, `no variable ${name} in this session`);
    return variable;
  }

  /** A program shares the arena from now on. */
  join(program: Program, arenaBytes: number): void {
    const before = this.#largestNeed();
    if (arenaBytes > before) this.#fit(arenaBytes);
    this.#needs.set(program, arenaBytes);
  }

  /** A program is given up: the arena is cut to what the others need. */
  leave(program: Program): void {
    const before = this.#largestNeed();
    if (!this.#needs.delete(program)) return;
    const largest = this.#largestNeed();
    if (largest < before) this.#fit(largest);
  }

  /** A program is about to run: what another one left in the arena is nothing to it. */
  enter(program: Program): void {
    this.checkUse(program, 'run');
    if (this.#latest !== program) this.poisonArena();
    this.#latest = program;
  }

  /** Throws where a program was given up: what was its memory is another's by now. */
  checkUse(program: Program, use: 'run' | 'written' | 'read'): void {
    invariant(this.#needs.has(program), `a program that was given up is ${use}`);
  }

  #fit(bytes: number): void {
    this.fitArena(bytes);
    this.#latest = undefined;
  }

  #largestNeed(): number {
    return Math.max(0, ...this.#needs.values());
  }

  #declare(name: string, { dtype, shape }: TensorType): Variable<Place> {
    const known = this.#variables.get(name);
    if (known) {
      invariant(known.dtype === dtype && sameShape(known.shape, shape), `variable ${name} changes its type`);
      return known;
    }
    const variable = { dtype, shape, place: this.allocate({ dtype, shape }) };
    this.#variables.set(name, variable);
    return variable;
  }
}
