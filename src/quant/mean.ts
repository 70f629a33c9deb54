import { Tensor } from '../tensor/tensor.ts';
import type { KernelVariant } from '../tensor/variants.ts';

/** Threads in a block of PyTorch's CUDA reductions. */
const MOST_THREADS = 512;
/** Blocks that fill an H100: 132 multiprocessors with 4 blocks of 512 threads. Other cards divide long vectors otherwise. */
const BLOCKS_OF_CARD = 528;

/** How PyTorch divides the sum of a CUDA vector among threads and blocks. */
export interface SumPlan {
  width: number;
  blocks: number;
  vectorized: boolean;
}

/** The plan for `count` f32 numbers; more than about 130,000 are divided among blocks, as many as an H100 takes. */
export function sumPlan(count: number): SumPlan {
  const vectorized = count >= 128;
  const threads = vectorized ? Math.floor(count / 4) : count;
  const width = Math.min(MOST_THREADS, 2 ** Math.floor(Math.log2(Math.max(1, threads))));
  const each = Math.ceil(count / width);
  const blocks = each < 256 ? 1 : Math.max(Math.min(BLOCKS_OF_CARD, Math.ceil(each / 16)), Math.ceil(each / 256));
  return { width, blocks, vectorized };
}

/**
 * Mean of a vector with the bits that `torch.mean` gives on CUDA, on any device: the same order of additions, and a
 * product with 1/n instead of a quotient.
 *
 * @param x f32, contiguous, at least one element
 * @returns shape [1]
 */
export function cudaMean(x: Tensor): Tensor {
  const { width, blocks, vectorized } = sumPlan(x.size);
  const factor = Math.fround(1 / Math.fround(x.size));
  const sums = Tensor.empty(x.device, [blocks]);
  x.device.run({
    kernel: 'mean.wgsl',
    entry: 'blocks',
    constants: { WIDTH: width },
    bindings: { x, y: sums },
    params: { count: x.size, blocks, vectorized: vectorized ? 1 : 0, factor: blocks === 1 ? factor : 1 },
    workgroups: blocks,
  });
  if (blocks === 1) return sums;
  const mean = Tensor.empty(x.device, [1]);
  x.device.run({
    kernel: 'mean.wgsl',
    entry: 'finish',
    constants: { WIDTH: width },
    bindings: { x: sums, y: mean },
    params: { count: blocks, blocks: 1, vectorized: 0, factor },
    workgroups: 1,
  });
  return mean;
}

export const variants: KernelVariant[] = ['blocks', 'finish'].flatMap((entry) =>
  [1, 64, 512].map((WIDTH) => ({ kernel: 'mean.wgsl', entry, constants: { WIDTH }, bindings: ['x', 'y'] })),
);
