import type { Gemm } from '../tensor/gemm/gemm.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Reference } from './reference.ts';

/** What a forward pass hands on: its result and whatever else its backward pass wants to see again. */
export interface Forward {
  output: Tensor;
  /** Further outputs, of an operation that has several. */
  others?: readonly Tensor[];
  saved?: readonly Tensor[];
}

/**
 * What is collected of a gradient so far, and where: spread into the `gemm` that makes one more part of it, whose
 * result then is the sum.
 */
export type Collected = Pick<Gemm, 'addend' | 'into' | 'dtype'>;

/** What a backward pass gets. */
export interface Backward<A> {
  /**
   * Gradient of the loss for the output: its shape and dtype, contiguous, or in panels where {@link Operation.readsPanels}
   * says so. Operations with several outputs see `grads`.
   */
  grad: Tensor;
  /** The same for every output; null for one that the loss does not depend on. */
  grads: readonly (Tensor | null)[];
  inputs: readonly Tensor[];
  /** Valid only if {@link Operation.keeps} asked for it. */
  output: Tensor;
  saved: readonly Tensor[];
  attributes: A;
  /** Which inputs' gradients are wanted. */
  needs: readonly boolean[];
  /** For each input; nothing but a dtype for those that {@link Operation.collects} leaves out. */
  collected: readonly Collected[];
}

/** What a tape has to keep alive for a backward pass. */
export interface Keeps {
  /** Indices of inputs. */
  inputs: readonly number[];
  output?: boolean;
}

/**
 * An operation: everything about it in one object.
 *
 * `A` are its attributes: plain values that are no tensors, such as a seed or an epsilon, or constant tensors
 * (positions, labels) that never get a gradient.
 */
export interface Operation<A = undefined> {
  readonly name: string;
  /** Cheap operations are recomputed by selective checkpointing; the outputs of others are kept. */
  readonly cheap: boolean;
  /** @throws UserError naming the operation, what it got, what it expects and the remedy */
  check(inputs: readonly Tensor[], attributes: A): void;
  /** @param needs which inputs' gradients will be asked for; all false outside a tape */
  forward(inputs: readonly Tensor[], attributes: A, needs: readonly boolean[]): Forward;
  /**
   * What {@link forward} saves, without making the output: all that is wanted of the last operation of a checkpointed
   * segment, which runs again for the tensors inside it. Operations without this, and those that keep their output, run
   * whole.
   */
  saves?(inputs: readonly Tensor[], attributes: A, needs: readonly boolean[]): readonly Tensor[];
  /** One gradient or null for each input, in the input's dtype; shapes may still be broadcast ones. */
  backward(context: Backward<A>): (Tensor | null)[];
  /** Whether the backward pass itself adds the gradient of an input, of `count` inputs, to {@link Backward.collected}. */
  collects?(input: number, count: number): boolean;
  /** Whether gradients may come in panels (src/tensor/panel-matrix.ts): only products read those as they are. */
  readonly readsPanels?: boolean;
  keeps(needs: readonly boolean[], attributes: A): Keeps;
  /** The operation in double precision, as plainly as possible: the truth for tests. Several outputs follow each other, flat. */
  reference(inputs: readonly Reference[], attributes: A): Reference;
}

/** Helps to write an operation with inferred types. */
export function operation<A = undefined>(definition: Operation<A>): Operation<A> {
  return definition;
}
