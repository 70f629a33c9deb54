import { complain } from '../errors.ts';
import { castTo } from '../tensor/copy.ts';
import { sameShape } from '../tensor/shape.ts';
import type { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';
import { accumulate, sumOf, unbroadcast } from './gradients.ts';
import type { Operation } from './operation.ts';

/** How much of the forward pass is kept for the backward pass; see {@link Tape}. */
export type Checkpointing = 'none' | 'selective' | 'full';

interface Step {
  // The attributes' type is the operation's own business; the tape only hands them back.
  op: Operation<unknown>;
  inputs: readonly Tensor[];
  attributes: unknown;
  needs: readonly boolean[];
  output: Tensor;
  saved: readonly Tensor[];
  /** Storages this step owns until its backward pass is done. */
  held: Storage[];
}

let recording: Tape | null = null;

/** Runs `fn` with its operations recorded on `tape`. */
export function withTape<T>(tape: Tape, fn: () => T): T {
  return recordOn(tape, fn);
}

/** Runs `fn` without recording. */
export function noGrad<T>(fn: () => T): T {
  return recordOn(null, fn);
}

function recordOn<T>(tape: Tape | null, fn: () => T): T {
  const outer = recording;
  recording = tape;
  try {
    return fn();
  } finally {
    recording = outer;
  }
}

/** Checks, runs and, if a tape listens and an input wants a gradient, records an operation. */
export function apply<A>(op: Operation<A>, inputs: readonly Tensor[], attributes: A): Tensor {
  op.check(inputs, attributes);
  const tape = recording;
  return inputs[0].device.scope(() => {
    const needs = inputs.map((x) => tape?.tracks(x) ?? false);
    const { output, saved = [] } = noGrad(() => op.forward(inputs, attributes, needs));
    if (needs.includes(true))
      tape?.record({ op: op as Operation<unknown>, inputs, attributes, needs, output, saved, held: [] });
    return output;
  });
}

/**
 * Runs `fn(x)` under the current tape's checkpointing: with `full`, nothing of its inside is kept and the
 * backward pass runs it again; otherwise it is recorded as if called plainly.
 *
 * `fn` must be a pure function of `x` and of parameters, and must give the same bits when run again.
 */
export function checkpoint(fn: (x: Tensor) => Tensor, x: Tensor): Tensor {
  const tape = recording;
  if (tape?.checkpointing !== 'full') return x.device.scope(() => fn(x));
  const segment: Operation<undefined> = {
    name: 'checkpoint',
    cheap: false,
    check: () => {},
    forward: ([input]) => ({ output: fn(input) }),
    keeps: () => ({ inputs: [0] }),
    backward: ({ grad, inputs: [input], needs }) => {
      const inner = new Tape('none', tape.sink);
      const start = new Tensor(input.device, input.storage, input.dtype, input.shape, input);
      if (needs[0]) inner.watch(start);
      const output = recordOn(inner, () => input.device.scope(() => fn(start)));
      inner.backward(output, grad);
      return [needs[0] ? inner.takeGradient(start) : null];
    },
    reference: () => {
      throw new Error('checkpoint: has no reference; check what it wraps');
    },
  };
  // Its leaves are inside it and not among its inputs: it is recorded whether x is tracked or not.
  return x.device.scope(() => {
    const { output } = noGrad(() => segment.forward([x], undefined, []));
    const step = {
      op: segment as Operation<unknown>,
      inputs: [x],
      attributes: undefined,
      needs: [tape.tracks(x)],
      output,
      saved: [],
      held: [],
    };
    tape.record(step);
    return output;
  });
}

/**
 * Records operations and runs them backwards.
 *
 * A tape keeps alive what backward passes need and nothing else: outputs that no one needs die with their scope.
 * With `selective` checkpointing the outputs of cheap operations are not kept either; the backward pass
 * recomputes them from what the expensive ones left. `full` keeps only the inputs of {@link checkpoint} segments.
 */
export class Tape {
  readonly checkpointing: Checkpointing;
  /** Receives the gradients of leaves; by default they are added to `leaf.grad`. */
  readonly sink: (leaf: Tensor, gradient: Tensor) => void;
  readonly #steps: Step[] = [];
  readonly #producers = new Map<Tensor, Step>();
  readonly #watched = new Map<Tensor, Tensor | null>();

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

  /** Whether a gradient for this tensor is wanted. */
  tracks(tensor: Tensor): boolean {
    return tensor.requires_grad || this.#producers.has(tensor) || this.#watched.has(tensor);
  }

  /** Appends an operation that just ran. */
  record(step: Step): void {
    const keeps = step.op.keeps(step.needs, step.attributes);
    this.#steps.push(step);
    this.#producers.set(step.output, step);
    for (const index of keeps.inputs) this.#hold(step.inputs[index], step);
    if (keeps.output) this.#hold(step.output, step);
    // A recomputed step makes its saved tensors anew.
    if (!this.#recomputes(step)) for (const tensor of step.saved) this.#retain(tensor, step);
  }

  #recomputes(step: Step): boolean {
    return this.checkpointing === 'selective' && step.op.cheap;
  }

  /** Keeps a tensor for `step`, or what it can be recomputed from. */
  #hold(tensor: Tensor, step: Step): void {
    const producer = this.#producers.get(tensor);
    if (producer && this.#recomputes(producer)) for (const input of producer.inputs) this.#hold(input, step);
    else this.#retain(tensor, step);
  }

  #retain(tensor: Tensor, step: Step): void {
    for (const storage of tensor.storages()) {
      storage.retain();
      step.held.push(storage);
    }
  }

  /** Brings back a tensor that selective checkpointing let go; its producer owns it until its own turn. */
  #restore(tensor: Tensor): void {
    const producer = this.#producers.get(tensor);
    if (producer && tensor.storage.freed) this.#rerun(producer);
  }

  #rerun(step: Step): void {
    for (const input of step.inputs) this.#restore(input);
    step.output.device.scope(() => {
      const { output, saved = [] } = noGrad(() => step.op.forward(step.inputs, step.attributes, step.needs));
      if (step.output.storage.freed) step.output.adopt(output);
      this.#retain(step.output, step);
      step.saved = saved;
      for (const extra of saved) this.#retain(extra, step);
    });
  }

  /**
   * Runs the tape backwards from `loss`; each leaf's gradient goes to the sink. The tape is used up afterwards.
   *
   * @param seed gradient of the loss, ones if left out (only for a loss of one element)
   */
  backward(loss: Tensor, seed?: Tensor): void {
    if (!this.#producers.has(loss))
      throw complain({
        where: 'Tape.backward',
        got: 'a tensor that this tape did not record',
        expected: 'an output that depends on a leaf with requires_grad',
        remedy: 'compute it inside withTape from a tensor that requires a gradient',
      });
    if (!seed && loss.size !== 1)
      throw complain({
        where: 'Tape.backward',
        got: `a loss of shape [${loss.shape}] without a seed`,
        expected: 'one element',
        remedy: 'reduce the loss or pass its gradient',
      });
    noGrad(() =>
      loss.device.scope(() => {
        const gradients = new Map<Tensor, Tensor>([
          [loss, seed ?? Tensor.from(loss.device, [1], loss.shape, loss.dtype)],
        ]);
        gradients.get(loss)?.storage.retain();
        for (const step of this.#steps.reverse()) this.#unwind(step, gradients);
        this.#steps.length = 0;
      }),
    );
  }

  #unwind(step: Step, gradients: Map<Tensor, Tensor>): void {
    const grad = gradients.get(step.output);
    if (grad) {
      grad.device.scope(() => {
        const keeps = step.op.keeps(step.needs, step.attributes);
        for (const index of keeps.inputs) this.#restore(step.inputs[index]);
        if (keeps.output) this.#restore(step.output);
        if (step.saved.some((tensor) => tensor.storage.freed)) this.#rerun(step);
        const { inputs, output, saved, attributes, needs } = step;
        const results = step.op.backward({ grad, inputs, output, saved, attributes, needs });
        for (const [i, result] of results.entries())
          if (result && needs[i]) this.#deposit(step, inputs[i], result, gradients);
      });
      gradients.delete(step.output);
      grad.storage.release();
    }
    for (const storage of step.held) storage.release();
    step.held.length = 0;
  }

  #deposit(step: Step, input: Tensor, raw: Tensor, gradients: Map<Tensor, Tensor>): void {
    const gradient = castTo(unbroadcast(raw, input.shape), input.dtype);
    if (!sameShape(gradient.shape, input.shape))
      throw new Error(`${step.op.name}: its gradient has shape [${gradient.shape}] for an input [${input.shape}]`);
    if (this.#producers.has(input)) {
      const before = gradients.get(input);
      const total = before ? sumOf(before, gradient) : gradient;
      total.storage.retain();
      before?.storage.release();
      gradients.set(input, total);
    } else if (this.#watched.has(input)) {
      const before = this.#watched.get(input);
      const total = before ? sumOf(before, gradient) : gradient;
      total.storage.retain();
      before?.storage.release();
      this.#watched.set(input, total);
    } else if (input.requires_grad) this.sink(input, gradient);
  }
}
