import type { Tensor } from '../tensor/tensor.ts';
import { alias } from './apply.ts';
import type { Operation } from './operation.ts';
import { noGrad, recording, withTape } from './recording.ts';
import { Tape } from './tape.ts';

/**
 * Runs `fn(x)` under the current tape's checkpointing: with `full` and `offload`, nothing of its inside is kept and the
 * backward pass runs it again, but for its last operation; otherwise it is recorded as if called plainly.
 *
 * `fn` must be a pure function of `x` and of parameters, and must give the same bits when run again.
 */
export function checkpoint(fn: (x: Tensor) => Tensor, x: Tensor): Tensor {
  const { tape } = recording;
  if (tape?.checkpointing !== 'full' && tape?.checkpointing !== 'offload') return x.device.scope(() => fn(x));
  const away = tape.checkpointing === 'offload' ? tape.sendAway(x) : null;
  let last = 0;
  const segment: Operation<undefined> = {
    name: 'checkpoint',
    cheap: false,
    check: () => {},
    forward: ([input]) => {
      const before = recording.applied;
      const result = fn(input);
      last = recording.latest === result ? recording.applied - before : 0;
      return { output: result };
    },
    keeps: () => ({ inputs: away ? [] : [0] }),
    backward: ({ grad, inputs: [input], output: result, needs }) => {
      const inner = new Tape('selective', tape.sink);
      inner.end = last > 0 ? { operation: recording.applied + last, output: result } : null;
      const start = away ? away.restore() : alias(input);
      if (needs[0]) inner.watch(start);
      const output = withTape(inner, () => input.device.scope(() => fn(start)));
      if (output === start) return [grad];
      if (!inner.tracks(output)) return [null];
      inner.backward(output, grad);
      return [needs[0] ? inner.takeGradient(start) : null];
    },
    reference: () => {
      throw new Error('checkpoint: has no reference; check what it wraps');
    },
  };
  // Its leaves are inside it and not among its inputs: it is recorded whether x is tracked or not.
  return x.device.scope(() => {
    const { output: made } = noGrad(() => segment.forward([x], undefined, []));
    const output = made === x ? alias(made) : made;
    const step = {
      op: segment as Operation<unknown>,
      inputs: [x],
      attributes: undefined,
      needs: [tape.tracks(x)],
      outputs: [output],
      saved: [],
      held: away ? [away] : [],
      restored: [],
    };
    tape.record(step);
    return output;
  });
}
