/**
 * How close to the reference is close enough: every bound of `npm run reference` in one table.
 *
 * The reference is f64; f32 arithmetic through a few layers stays within a few parts in 10⁶ of the largest value, f16
 * operands with f32 sums within a few parts in 10³ of a gradient's length.
 */
export const BARS = {
  f32: { logits: 1e-4, gradient: 1e-4, loss: 1e-5 },
  mixed: { gradient: 1e-2, loss: 2e-3 },
  greedy: { mismatches: 0 },
  /** Twelve steps of AdamW: errors of gradients add up in the parameters. */
  training: { loss: 1e-4, gradientNorm: 1e-3, learningRate: 1e-6, adapter: 1e-3 },
  /** Bytes must be identical; dequantised f32 values are products of two or three factors. */
  nf4: { dequantised: 1e-6 },
  /**
   * State bytes may differ where a value lies between two codes; the run that made the data used these options.
   */
  adamw8bit: {
    lr: 1e-2,
    options: { betas: [0.9, 0.999] as [number, number], eps: 1e-8, weight_decay: 0.01 },
    parameters: 1e-6,
    stateMismatches: 1e-3,
    states: 1e-5,
  },
} as const;
