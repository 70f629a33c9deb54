import { castTo } from '../../tensor/copy.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { apply } from '../apply.ts';
import { checkDtypes } from '../checks.ts';
import { operation } from '../operation.ts';

/** Rounds to f16 (to nearest even, overflow to infinity) or widens to f32; the gradient goes the other way. */
export const castOperation = operation<'f32' | 'f16'>({
  name: 'cast',
  cheap: true,
  check: ([x]) => checkDtypes('cast', [x], ['f32', 'f16']),
  forward: ([x], dtype) => ({ output: castTo(x, dtype) }),
  keeps: () => ({ inputs: [] }),
  backward: ({ grad, inputs: [x] }) => [castTo(grad, x.dtype)],
  reference: ([x]) => x,
});

/** x in another floating dtype; x itself when it has it already. */
export const cast = (x: Tensor, dtype: 'f32' | 'f16'): Tensor =>
  x.dtype === dtype ? x : apply(castOperation, [x], dtype);
