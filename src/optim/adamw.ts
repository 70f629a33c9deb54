import { AdamWBase } from './adamw-base.ts';
import { Moments32 } from './adamw-update.ts';
import type { AdamWOptions, Parameter } from './optimizer.ts';

/** AdamW with f32 moments: `torch.optim.AdamW` step by step, 8 bytes of state a weight. */
export class AdamW extends AdamWBase {
  /** @throws UserError for parameters that are not contiguous f32 tensors, or options out of range */
  constructor(parameters: readonly Parameter[], options: AdamWOptions = {}) {
    super(parameters, options, {
      corrections:
        ([beta1, beta2]) =>
        (t) => [1 - beta1 ** t, Math.sqrt(1 - beta2 ** t)],
      scaled: false,
      alike: () => true,
      moments: (region) => new Moments32(region, false),
      constants: ({ lr, betas: [beta1, beta2], eps, decay }) => ({
        beta1,
        rest1: 1 - beta1,
        beta2,
        rest2: 1 - beta2,
        eps,
        decay: 1 - lr * decay,
      }),
    });
  }
}
