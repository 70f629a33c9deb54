import { Tensor } from '../tensor/tensor.ts';
import type { KernelVariant } from '../tensor/variants.ts';
import { dynamicMap } from './dynamic-map.ts';
import { codeLimits } from './nearest-code.ts';

/** Elements that share a scale. */
const BLOCK8 = 256;

/** 8-bit codes with a scale for each {@link BLOCK8} of them: x ≈ map[code] · absmax. */
export interface Blockwise8 {
  /** u8, as long as the input. */
  codes: Tensor;
  /** f32, one for each block. */
  absmax: Tensor;
}

const map = dynamicMap(true);
let limits: Float32Array | null = null;

/**
 * Quantises x - offset blockwise to the signed dynamic map, with the bytes of bitsandbytes' `quantize_blockwise` on CUDA.
 *
 * A block of zeros gets codes 0 and the scale 0.
 *
 * @param x f32 vector, contiguous
 * @param offset f32 of one element
 */
export function quantizeBlockwise8(x: Tensor, offset: Tensor): Blockwise8 {
  limits ??= codeLimits(map, null);
  const blocks = Math.ceil(x.size / BLOCK8);
  const codes = Tensor.empty(x.device, [x.size], 'u8');
  const absmax = Tensor.empty(x.device, [blocks]);
  const thresholds = Tensor.from(x.device, limits);
  x.device.run({
    kernel: 'blockwise8.wgsl',
    bindings: { x, offset, thresholds, codes, absmax },
    params: { count: x.size },
    workgroups: blocks,
  });
  return { codes, absmax };
}

export const variants: KernelVariant[] = [
  { kernel: 'blockwise8.wgsl', bindings: ['x', 'offset', 'thresholds', 'codes', 'absmax'] },
];
