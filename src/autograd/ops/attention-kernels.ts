import { complain } from '../../errors.ts';
import type { Launch } from '../../tensor/device.ts';
import type { DType } from '../../tensor/dtype.ts';
import { type AttentionPath, attentionPath } from '../../tensor/kernel-paths.ts';
import type { KernelChoice } from '../../tensor/pipelines.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { combinations, type KernelVariant } from '../../tensor/variants.ts';
import { RANGE_BLOCK } from '../attention-ranges.ts';
import { type MatrixEntry, type MatrixKernel, matrixKernel, matrixKernels } from './attention-matrix.ts';

type Entry = MatrixEntry | 'output_products';

/** A kernel and the rows (queries, or keys in `gradient_keys`) that one of its workgroups takes. */
type AttentionKernel = (KernelChoice & { rows: number }) | MatrixKernel;

type Defines = Record<string, string | number>;

/** Threads side by side in a workgroup of the tiled kernels, each with 32 / LANES rows. */
const LANES = 8;

/** How kernels read and write heads of `width` elements. */
function access(width: number, dtype: DType): Defines {
  return {
    X: dtype,
    // Rows of odd width share f16 words: they are written as f32 and converted.
    Y: storedDtype(width, dtype),
    READ: width % 4 === 0 ? 'quads' : 'ragged',
    WIDTH: width,
  };
}

/** The dtype that kernels write heads of `width` elements in. */
export function storedDtype(width: number, dtype: DType): DType {
  return width % 2 === 0 ? dtype : 'f32';
}

/** How a head of `width` elements is laid out over threads; see kernels/include/attention_layout.wgsl. */
function layout(width: number, entry: Entry, dtype: DType): Defines {
  const parts = Math.ceil(width / 32);
  const step = entry === 'forward' ? (parts <= 4 ? 16 : 8) : parts <= 2 ? 16 : parts <= 4 ? 8 : 4;
  return {
    ...access(width, dtype),
    PARTS: parts,
    VECS: Math.ceil(width / 4 / parts),
    STEP: step,
    LANES,
  };
}

/** End of the plain kernels' loops over the vec4s of a row; see kernels/attention_plain.wgsl. */
function quadsOf(width: number): string {
  return width <= 64 ? `${Math.ceil(width / 4)}u` : 'p.quads';
}

/** @param limit bytes of workgroup memory, by which the kernels for matrix units choose their tiles */
function kernelOf(entry: Entry, path: AttentionPath, width: number, dtype: DType, limit: number): AttentionKernel {
  const tiled = { kernel: 'attention.wgsl', entry, defines: layout(width, entry, dtype) };
  const onMatrixUnits = path === 'matrix' || path === 'emulated';
  if (entry === 'output_products')
    return onMatrixUnits
      ? { kernel: 'attention_products.wgsl', defines: { WIDTH: width }, rows: 2048 / width }
      : { ...tiled, rows: 64 };
  if (path === 'tiled') return { ...tiled, rows: RANGE_BLOCK };
  if (path === 'plain') {
    const defines = { ...access(width, dtype), QUADS: quadsOf(width) };
    return { kernel: 'attention_plain.wgsl', entry, defines, rows: RANGE_BLOCK };
  }
  const kernel = dtype === 'f16' ? matrixKernel(entry, width, path, limit) : undefined;
  if (!kernel)
    throw complain({
      where: 'attention',
      got: `path ${path} for heads of ${width} in ${dtype} and ${limit} bytes of workgroup memory`,
      expected: 'heads of 64 or 128 in f16 and 32768 bytes',
      remedy: 'leave path out',
    });
  return kernel;
}

/**
 * Launches an entry point of the attention kernels over all rows of all heads.
 *
 * @param q [T, Hq, D]
 * @param k [S, Hkv, D]
 * @param path chosen by adapter if left out
 */
export function launchAttention(
  entry: Entry,
  q: Tensor,
  k: Tensor,
  { scale, path }: { scale: number; path?: AttentionPath },
  bindings: Launch['bindings'],
): void {
  const [queries, heads, width] = q.shape;
  const [keys, kvHeads] = k.shape;
  const { capabilities } = q.device;
  const { rows, ...kernel } = kernelOf(
    entry,
    path ?? attentionPath(capabilities, q.dtype, width),
    width,
    q.dtype,
    capabilities.limits.maxComputeWorkgroupStorageSize,
  );
  const tiles = Math.ceil((entry === 'gradient_keys' ? keys : queries) / rows);
  const owners = entry === 'gradient_keys' ? kvHeads : heads;
  q.device.run({
    ...kernel,
    bindings,
    params: { queries, keys, heads, kv_heads: kvHeads, scale, quads: Math.ceil(width / 4) },
    // On matrix units heads that read the same keys run side by side: they share them in the cache.
    workgroups: 'bytes' in kernel ? [owners, tiles, 1] : [tiles, owners, 1],
  });
}

const BINDINGS: Record<Entry, string[]> = {
  forward: ['q', 'k', 'v', 'ranges', 'y', 'log_sum'],
  output_products: ['o', 'grad', 'log_sum_saved', 'statistics'],
  gradient_queries: ['q', 'k', 'v', 'grad', 'ranges', 'statistics_read', 'y'],
  gradient_keys: ['q', 'k', 'v', 'grad', 'ranges', 'statistics_read', 'y', 'y2'],
};

/** Kernels by head size (every layout of threads, aligned, even and odd), dtype, entry point and path. */
const portable = combinations({
  width: ['1', '6', '20', '33', '64', '96', '128', '160', '256'],
  dtype: ['f32', 'f16'],
  entry: Object.keys(BINDINGS),
  path: ['tiled', 'plain'],
}).map(({ width, dtype, entry, path }) => ({
  ...kernelOf(entry as Entry, path as AttentionPath, Number(width), dtype as DType, 0),
  bindings: BINDINGS[entry as Entry],
}));

/** Every layout for matrix units, real and emulated. */
const matrix = (['forward', 'gradient_queries', 'gradient_keys'] as const).flatMap((entry) =>
  [64, 128].flatMap((width) =>
    (['matrix', 'emulated'] as const).flatMap((units) =>
      matrixKernels(entry, width, units).map(
        (kernel): KernelVariant => ({
          ...kernel,
          bindings: BINDINGS[entry],
          requires: units === 'matrix' ? 'subgroup-matrix' : undefined,
          workgroupBytes: kernel.bytes,
        }),
      ),
    ),
  ),
);

const products = [64, 128].map((width) => ({
  ...kernelOf('output_products', 'matrix', width, 'f16', 0),
  bindings: BINDINGS.output_products,
}));

export const variants: KernelVariant[] = [...portable, ...matrix, ...products];
