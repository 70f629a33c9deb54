import { linear } from '../autograd/ops/linear.ts';
import { lowRankLinear } from '../autograd/ops/low-rank-linear.ts';
import type { Adapter } from '../lora/adapter.ts';
import type { Device } from '../tensor/device.ts';
import { panelsSuit } from '../tensor/panel-matrix.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** One linear layer without bias: a weight [out, in], frozen or trained, and perhaps an adapter. */
export class Linear {
  /** Name in the checkpoint without `.weight`, for example `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  weight: Tensor;
  adapter: Adapter | null = null;

  constructor(name: string, weight: Tensor) {
    this.name = name;
    this.weight = weight;
  }

  /**
   * residual + weight · x.
   *
   * @param x [N, in]
   * @returns [N, out] in `dtype`, that of x if left out
   */
  forward(x: Tensor, options: { residual?: Tensor; dtype?: 'f32' | 'f16'; seed?: number } = {}): Tensor {
    const { residual, dtype = x.dtype as 'f32' | 'f16', seed } = options;
    if (!this.adapter) return linear(x, this.weight, { residual, dtype });
    const own = seed === undefined ? undefined : seed ^ hash(this.name);
    return this.adapter.forward({ x, weight: this.weight, residual, dtype, seed: own });
  }
}

/**
 * What {@link Linear.forward} gives for layers that share their input. Where all have low-rank adapters of one scale, one
 * operation goes through x for all their thin matrices, and its backward pass collects one gradient of x.
 */
export function forwardTogether(x: Tensor, linears: readonly Linear[], options: { seed?: number } = {}): Tensor[] {
  const layers = linears.flatMap(({ weight, adapter }) => {
    const thin = adapter?.lowRank?.(options);
    return thin ? { weight, ...thin } : [];
  });
  const [{ scale } = { scale: 0 }] = layers;
  if (layers.length < linears.length || layers.some((layer) => layer.scale !== scale))
    return linears.map((linear) => linear.forward(x, options));
  return lowRankLinear(x, layers, { scale });
}

/**
 * Whether layers read inputs of a shape, and gradients of results of a shape, faster in panels: if products alone read
 * them, as they do without dropout.
 */
export function readPanels(
  linears: readonly Linear[],
  device: Device,
  shape: Shape,
  options: { seed?: number },
): boolean {
  const alone = linears.every(({ adapter }) => !adapter || adapter.lowRank?.(options));
  return alone && panelsSuit(device, shape);
}

/** FNV-1a: gives each module its own stream of dropout masks. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
