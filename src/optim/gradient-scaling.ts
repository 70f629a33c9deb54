import { complain } from '../errors.ts';
import type { Device } from '../tensor/device.ts';
import { bytesOf } from '../tensor/dtype.ts';
import { flatParts } from '../tensor/parts.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { KernelVariant } from '../tensor/variants.ts';
import type { Parameter } from './optimizer.ts';
import { spansOf } from './regions.ts';

/** Elements that one workgroup of stage 1 sums. */
const CHUNK = 16384;

export interface GradientScalingOptions {
  /** False keeps the scale at 1: for training in f32. Steps with gradients that are not finite are still skipped. */
  enabled?: boolean;
  /** Defaults are those of torch.amp.GradScaler. */
  initialScale?: number;
  growth?: number;
  backoff?: number;
  /** Steps without overflow after which the scale grows. */
  interval?: number;
}

/** What {@link GradientScaling.read} tells of the step before. */
export interface ScalingReport {
  loss_scale: number;
  /** Global norm of the gradients without the loss scale, before clipping. */
  grad_norm: number;
  /** True when a gradient was not finite: the optimiser left everything as it was. */
  found_inf: boolean;
  /** Steps skipped so far. */
  skipped: number;
}

/** What the {@link GradientScaling.stats} of a step say. */
export function scalingReport([loss_scale, , found, grad_norm, , skipped]: Iterable<number>): ScalingReport {
  return { loss_scale, grad_norm, found_inf: found !== 0, skipped };
}

/**
 * Dynamic loss scaling and clipping by global norm, wholly on the GPU: multiply the gradient of the loss by
 * {@link lossScale}, then each step call measure, `optimizer.step({ lr, stats })` and update.
 */
export class GradientScaling {
  /** f32: loss scale, steps since it changed, found_inf, norm, multiplier of gradients, skipped steps. */
  readonly stats: Tensor;
  /** The scale as a tensor of shape [1]: the seed of `Tape.backward`. */
  readonly lossScale: Tensor;
  readonly #options: Required<GradientScalingOptions>;

  constructor(device: Device, options: GradientScalingOptions = {}) {
    const { enabled = true, initialScale = 65536, growth = 2, backoff = 0.5, interval = 2000 } = options;
    this.#options = enabled
      ? { enabled, initialScale, growth, backoff, interval }
      : { enabled, initialScale: 1, growth: 1, backoff: 1, interval };
    this.stats = device.persist(Tensor.from(device, [this.#options.initialScale, 0, 0, 0, 1, 0]));
    this.lossScale = this.stats.slice(0, 0, 1);
  }

  /**
   * Global norm of the parameters' gradients; decides on skipping and on the multiplier that unscales and clips as
   * torch.nn.utils.clip_grad_norm_ does. The gradients themselves stay as they are.
   *
   * @param maxGradNorm 0 does not clip
   * @param divisor the gradients stand for that many times too large a loss, for example a sum over targets
   */
  measure(parameters: readonly Pick<Parameter, 'name' | 'tensor'>[], maxGradNorm = 0, divisor = 1): void {
    const { device } = this.stats;
    const grads = spansOf(parameters).flatMap(({ gradients }) => flatParts([gradients]).map(([part]) => part));
    const groups = grads.map((grad) => Math.ceil(grad.size / CHUNK));
    const count = groups.reduce((sum, n) => sum + n, 0);
    device.scope(() => {
      const sums = Tensor.empty(device, [Math.max(1, count), 2]);
      let slot = 0;
      for (const [i, grad] of grads.entries()) {
        device.run({
          kernel: 'gradient-norm.wgsl',
          entry: 'squares',
          bindings: { grad, scale_stats: this.stats, sums },
          params: { count: grad.size, slot, divisor, max_norm: 0 },
          workgroups: groups[i],
        });
        slot += groups[i];
      }
      device.run({
        kernel: 'gradient-norm.wgsl',
        entry: 'finish',
        bindings: { all_sums: sums, stats: this.stats },
        params: { count, slot: 0, divisor, max_norm: maxGradNorm },
        workgroups: 1,
      });
    });
  }

  /** Adapts the scale after the optimiser's step and counts a skipped one. */
  update(): void {
    const { growth, backoff, interval } = this.#options;
    this.stats.device.run({
      kernel: 'loss-scale.wgsl',
      bindings: { stats: this.stats },
      params: { growth, backoff, interval },
      workgroups: 1,
    });
  }

  async read(): Promise<ScalingReport> {
    return scalingReport(await this.stats.data());
  }

  /** Everything for an exact resume: scale, steps since it changed and skipped steps. */
  async state(): Promise<Float32Array> {
    return this.stats.data();
  }

  /** @throws UserError when it is no saved state */
  loadState(state: Float32Array): void {
    if (state.length !== this.stats.size)
      throw complain({
        where: 'gradient scaling state',
        got: `${state.length} numbers`,
        expected: `${this.stats.size}`,
        remedy: 'resume from a complete checkpoint',
      });
    this.stats.device.upload(this.stats, bytesOf(state));
  }

  dispose(): void {
    this.stats.dispose();
  }
}

export const variants: KernelVariant[] = [
  { kernel: 'gradient-norm.wgsl', entry: 'squares', bindings: ['grad', 'scale_stats', 'sums'] },
  { kernel: 'gradient-norm.wgsl', entry: 'finish', bindings: ['all_sums', 'stats'] },
  { kernel: 'loss-scale.wgsl', bindings: ['stats'] },
];
