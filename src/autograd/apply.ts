import { complain } from '../errors.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { Operation } from './operation.ts';
import { noGrad, recording } from './recording.ts';

/** Checks, runs and, if a tape listens and an input wants a gradient, records an operation. */
export function apply<A>(op: Operation<A>, inputs: readonly Tensor[], attributes: A): Tensor {
  return applyAll(op, inputs, attributes)[0];
}

/** {@link apply} for an operation with several outputs. */
export function applyAll<A>(op: Operation<A>, inputs: readonly Tensor[], attributes: A): Tensor[] {
  op.check(inputs, attributes);
  const { tape } = recording;
  const ends = ++recording.applied === tape?.end?.operation ? tape.end : null;
  return inputs[0].device.scope(() => {
    const needs = inputs.map((x) => tape?.tracks(x) ?? false);
    const {
      output: made,
      others = [],
      saved = [],
    } = noGrad(() =>
      ends && op.saves
        ? { output: hollow(ends.output), saved: op.saves(inputs, attributes, needs) }
        : op.forward(inputs, attributes, needs),
    );
    // The tape knows tensors by identity: an input handed through becomes a tensor of its own on the same storage.
    const outputs = [made, ...others].map((output) => (inputs.includes(output) ? alias(output) : output));
    recording.latest = outputs.length === 1 ? outputs[0] : null;
    if (needs.includes(true))
      tape?.record({ op: op as Operation<unknown>, inputs, attributes, needs, outputs, saved, held: [], restored: [] });
    return outputs;
  }, op.name);
}

/** A tensor without elements of its own that stands for one like this. */
function hollow(like: Tensor): Tensor {
  return new Tensor(like.device, like.device.allocate(0), like.dtype, like.shape);
}

/**
 * Another tensor on the same elements.
 *
 * @throws UserError for one whose storage is not its elements: it can be no input of `checkpoint`
 */
export function alias(x: Tensor): Tensor {
  if (x.opaque)
    throw complain({
      where: 'alias',
      got: `an opaque matrix [${x.shape}]`,
      expected: 'a tensor whose storage is its elements, as input of checkpoint() or as what is handed through',
      remedy: 'give it contiguous(x)',
    });
  return new Tensor(x.device, x.storage, x.dtype, x.shape, x);
}
