import { complain } from '../errors.ts';
import { castTo, contiguous } from '../tensor/copy.ts';
import type { HostCopy } from '../tensor/host-copy.ts';
import { PanelMatrix } from '../tensor/panel-matrix.ts';
import { sameShape } from '../tensor/shape.ts';
import type { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';
import { accumulate, sumOf, unbroadcast } from './gradients.ts';
import type { Collected, Operation } from './operation.ts';
import { noGrad } from './recording.ts';

/** How much of the forward pass is kept for the backward pass, and where; see {@link Tape}. */
export type Checkpointing = 'none' | 'selective' | 'full' | 'offload';

/** An operation that a tape has recorded. */
export interface Step {
  // The attributes' type is the operation's own business; the tape only hands them back.
  op: Operation<unknown>;
  inputs: readonly Tensor[];
  attributes: unknown;
  needs: readonly boolean[];
  outputs: readonly Tensor[];
  saved: readonly Tensor[];
  /** What this step owns until its backward pass is done. */
  held: { release(): void }[];
  /** Its output, brought back for the steps after it, until its own turn. */
  restored: Storage[];
}

/** A gradient that waits, as an operation takes it: out of panels, if it does not read these. */
const readableBy = (op: Operation<unknown>, gradient: Tensor) => (op.readsPanels ? gradient : contiguous(gradient));

/**
 * Records operations and runs them backwards.
 *
 * A tape keeps alive what backward passes need and nothing else: outputs that no one needs die with their scope.
 * With `selective` checkpointing the outputs of cheap operations are not kept either; the backward pass
 * recomputes them from what the expensive ones left. `full` keeps only the inputs of `checkpoint` segments,
 * `offload` keeps these in host memory: it needs a wait between the passes, for {@link arrival}.
 */
export class Tape {
  readonly checkpointing: Checkpointing;
  /** Receives the gradients of leaves, contiguous, f32 or the leaf's dtype; by default they are added to `leaf.grad`. */
  readonly sink: (leaf: Tensor, gradient: Tensor) => void;
  /** The operation, by its number among all that are applied, whose output this tape's backward pass starts from. */
  end: { operation: number; output: Tensor } | null = null;
  readonly #steps: Step[] = [];
  readonly #producers = new Map<Tensor, Step>();
  readonly #watched = new Map<Tensor, Tensor | null>();
  /** Gradients of recorded outputs that wait for their step's turn; the tape owns them. */
  readonly #gradients = new Map<Tensor, Tensor>();
  readonly #away: HostCopy[] = [];
  #used = false;

  constructor(checkpointing: Checkpointing = 'none', sink: (leaf: Tensor, gradient: Tensor) => void = accumulate) {
    this.checkpointing = checkpointing;
    this.sink = sink;
  }

  /** Asks for the gradient of a tensor that is neither a leaf nor made on this tape; see {@link takeGradient}. */
  watch(tensor: Tensor): void {
    this.#watched.set(tensor, null);
  }

  /** Hands the gradient of a watched tensor to the current scope; null when the loss does not depend on it. */
  takeGradient(tensor: Tensor): Tensor | null {
    const gradient = this.#watched.get(tensor) ?? null;
    if (gradient) tensor.device.scopes.adopt(gradient.storage);
    this.#watched.delete(tensor);
    return gradient;
  }

  /** Sends a tensor to host memory; it may be freed. The caller owns the copy. */
  sendAway(tensor: Tensor): HostCopy {
    const { device } = tensor;
    const copy = device.scope(() => device.hostCopy(contiguous(tensor)));
    this.#away.push(copy);
    return copy;
  }

  /** Waits for everything that went to host memory: before {@link backward} with `offload`, nothing otherwise. */
  async arrival(): Promise<void> {
    try {
      for (const copy of this.#away) await copy.arrive();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Whether a gradient for this tensor is wanted. */
  tracks(tensor: Tensor): boolean {
    return tensor.requires_grad || this.#producers.has(tensor) || this.#watched.has(tensor);
  }

  /** @throws UserError when the tape has run backwards or was released */
  assertOpen(where: string): void {
    if (this.#used)
      throw complain({
        where,
        got: 'a tape that is used up',
        expected: 'a tape whose backward pass has not run',
        remedy: 'record each forward pass on a new Tape',
      });
  }

  /** Lets go of everything the tape holds, without a backward pass; it is used up afterwards. */
  release(): void {
    this.#end();
    for (const gradient of this.#watched.values()) gradient?.storage.release();
    this.#watched.clear();
  }

  #end(): void {
    this.#used = true;
    for (const step of this.#steps) this.#letGo(step);
    for (const gradient of this.#gradients.values()) gradient.storage.release();
    this.#steps.length = 0;
    this.#gradients.clear();
    this.#producers.clear();
  }

  #letGo(step: Step): void {
    for (const storage of [...step.held, ...step.restored]) storage.release();
    step.held.length = 0;
    step.restored.length = 0;
  }

  /** Appends an operation that just ran. */
  record(step: Step): void {
    this.assertOpen(step.op.name);
    const keeps = step.op.keeps(step.needs, step.attributes);
    this.#steps.push(step);
    for (const output of step.outputs) this.#producers.set(output, step);
    const seen = new Set<Tensor>();
    for (const index of keeps.inputs) this.#hold(step.inputs[index], step, seen);
    if (keeps.output) for (const output of step.outputs) this.#hold(output, step, seen);
    // A recomputed step makes its saved tensors anew, from its inputs.
    if (step.saved.length === 0) return;
    if (this.#recomputes(step)) for (const input of step.inputs) this.#hold(input, step, seen);
    else for (const tensor of step.saved) this.#retain(tensor, step.held);
  }

  #recomputes(step: Step): boolean {
    return this.checkpointing === 'selective' && step.op.cheap;
  }

  /** Keeps a tensor for `step`, or what it can be recomputed from. */
  #hold(tensor: Tensor, step: Step, seen: Set<Tensor>): void {
    // Cheap operations that share inputs form diamonds: without `seen` a chain of them would be walked 2^n times.
    if (seen.has(tensor)) return;
    seen.add(tensor);
    const producer = this.#producers.get(tensor);
    if (producer && this.#recomputes(producer)) for (const input of producer.inputs) this.#hold(input, step, seen);
    else this.#retain(tensor, step.held);
  }

  #retain(tensor: Tensor, owned: { release(): void }[]): void {
    for (const storage of tensor.storages()) {
      storage.retain();
      owned.push(storage);
    }
  }

  /** Brings back a tensor that selective checkpointing let go; its producer owns it until its own turn. */
  #restore(tensor: Tensor): void {
    const producer = this.#producers.get(tensor);
    if (producer && tensor.storage.freed) this.#rerun(producer);
  }

  #rerun(step: Step): void {
    for (const input of step.inputs) this.#restore(input);
    step.inputs[0].device.scope(() => {
      const {
        output,
        others = [],
        saved = [],
      } = noGrad(() => step.op.forward(step.inputs, step.attributes, step.needs));
      for (const [i, fresh] of [output, ...others].entries()) {
        if (step.outputs[i].storage.freed) step.outputs[i].adopt(fresh);
        this.#retain(step.outputs[i], step.restored);
      }
      step.saved = saved;
      for (const extra of saved) this.#retain(extra, step.held);
    }, step.op.name);
  }

  /**
   * Runs the tape backwards from `loss`; each leaf's gradient goes to the sink. The tape is used up afterwards.
   *
   * @param seed gradient of the loss, ones if left out (only for a loss of one element)
   * @throws UserError when the tape is used up, did not record `loss`, or the seed does not fit it
   */
  backward(loss: Tensor, seed?: Tensor): void {
    this.assertOpen('Tape.backward');
    if (!this.#producers.has(loss))
      throw complain({
        where: 'Tape.backward',
        got: 'a tensor that this tape did not record',
        expected: 'an output that depends on a leaf with requires_grad',
        remedy: 'compute it inside withTape from a tensor that requires a gradient',
      });
    if (this.#away.some((copy) => !copy.arrived))
      throw complain({
        where: 'Tape.backward',
        got: 'checkpoints that are on their way to host memory',
        expected: 'all of them there',
        remedy: 'await arrival() of the tape first',
      });
    if (!seed && loss.size !== 1)
      throw complain({
        where: 'Tape.backward',
        got: `a loss of shape [${loss.shape}] without a seed`,
        expected: 'one element',
        remedy: 'reduce the loss or pass its gradient',
      });
    if (seed && !sameShape(seed.shape, loss.shape))
      throw complain({
        where: 'Tape.backward',
        got: `a seed of shape [${seed.shape}]`,
        expected: `the loss's shape [${loss.shape}]`,
        remedy: 'pass one gradient for each element of the loss',
      });
    try {
      noGrad(() =>
        loss.device.scope(() => {
          this.#add(this.#gradients, loss, seed ?? Tensor.from(loss.device, [1], loss.shape, loss.dtype));
          for (const step of this.#steps.toReversed()) this.#unwind(step);
        }),
      );
      this.#end();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  #unwind(step: Step): void {
    const waiting = step.outputs.map((output) => this.#gradients.get(output) ?? null);
    if (waiting.some((grad) => grad !== null)) {
      step.inputs[0].device.scope(() => {
        const keeps = step.op.keeps(step.needs, step.attributes);
        for (const index of keeps.inputs) this.#restore(step.inputs[index]);
        if (keeps.output) for (const output of step.outputs) this.#restore(output);
        if (step.saved.some((tensor) => tensor.storage.freed)) this.#rerun(step);
        // The steps that its outputs were brought back for are done.
        if (!keeps.output) for (const storage of step.restored.splice(0)) storage.release();
        const { inputs, outputs, saved, attributes, needs } = step;
        const collected = inputs.map((_, i) => this.#collected(step, i));
        const grads = waiting.map((grad) => grad && readableBy(step.op, grad));
        const [grad, output] = [grads[0] as Tensor, outputs[0]];
        const results = step.op.backward({ grad, grads, inputs, output, saved, attributes, needs, collected });
        for (const [i, result] of results.entries())
          if (result && needs[i]) this.#deposit(step, inputs[i], result, collected[i]);
      }, step.op.name);
      for (const output of step.outputs) this.#gradients.delete(output);
      for (const grad of waiting) grad?.storage.release();
    }
    this.#letGo(step);
  }

  /** Where gradients of this tensor wait for its producer or for {@link takeGradient}; undefined for a leaf. */
  #waiting(tensor: Tensor): Map<Tensor, Tensor | null> | undefined {
    if (this.#producers.has(tensor)) return this.#gradients;
    return this.#watched.has(tensor) ? this.#watched : undefined;
  }

  #collected({ op, inputs, needs }: Step, i: number): Collected {
    const input = inputs[i];
    const waiting = this.#waiting(input);
    const inPlace = !waiting && this.sink === accumulate;
    const dtype = inPlace ? 'f32' : (input.dtype as 'f32' | 'f16');
    // What is collected for an input that is given twice must be added once.
    if (!needs[i] || !op.collects?.(i, inputs.length) || inputs.indexOf(input) !== i) return { dtype };
    if (inPlace) return { dtype, addend: input.grad ?? undefined, into: input.grad ?? input.newGradient() };
    const addend = waiting?.get(input);
    return { dtype, addend: addend ? readableBy(op, addend) : undefined };
  }

  #deposit(step: Step, input: Tensor, raw: Tensor, { addend, into }: Collected): void {
    if (into) {
      input.grad ??= input.device.persist(into);
      return;
    }
    const gradient = unbroadcast(raw, input.shape);
    if (!sameShape(gradient.shape, input.shape))
      throw new Error(`${step.op.name}: its gradient has shape [${gradient.shape}] for an input [${input.shape}]`);
    const waiting = this.#waiting(input);
    if (waiting) this.#add(waiting, input, gradient, addend !== undefined);
    else if (input.requires_grad) this.sink(input, contiguous(gradient));
  }

  /**
   * Adds a gradient for `tensor` to those that wait; kernels can bind what waits, unless it is in panels.
   *
   * @param summed the gradient is the sum with those already
   */
  #add(waiting: Map<Tensor, Tensor | null>, tensor: Tensor, gradient: Tensor, summed = false): void {
    const before = waiting.get(tensor);
    const cast = castTo(gradient, tensor.dtype);
    const own = cast instanceof PanelMatrix ? cast : contiguous(cast);
    const total = before && !summed ? sumOf(before, own) : own;
    total.storage.retain();
    before?.storage.release();
    waiting.set(tensor, total);
  }
}
