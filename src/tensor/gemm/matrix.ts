import type { Capabilities, MatrixShape } from '../capabilities.ts';
import { contiguous } from '../copy.ts';
import { Tensor } from '../tensor.ts';
import { type Edges, kernelOf, splitKernel, WORKGROUP_BYTES } from './matrix-kernel.ts';
import { TILE_DEPTH } from './panels.ts';
import { addendAccess, type Product, shapeOf } from './product.ts';
import { keyOf } from './product-shape.ts';
import { depthTiles, TILES } from './tiles.ts';
import { defaultTiling, evenSplits, serves, type Tiling, wholeTiles } from './tilings.ts';

/** The matrix-unit shape that the kernel is written for, if this adapter has it and subgroups of 32. */
export function usableMatrixShape({ matrixShapes, subgroupSizes, limits }: Capabilities): MatrixShape | undefined {
  if (limits.maxComputeWorkgroupStorageSize < WORKGROUP_BYTES) return undefined;
  if (subgroupSizes[0] !== 32 || subgroupSizes[1] !== 32) return undefined;
  return matrixShapes.find(
    ({ M, N, K, component, result }) => M === 16 && N === 16 && K === 16 && component === 'f16' && result === 'f32',
  );
}

const edgesOf = (...widths: number[]): Edges => (widths.every((width) => width % 8 === 0) ? 'aligned' : 'ragged');

const turned = ({ a, b }: { a: Tensor; b: Tensor }) => ({ a, b: contiguous(b.transpose()) });

const areApart = (tensors: readonly Tensor[]) => new Set(tensors.map(({ storage }) => storage)).size === tensors.length;

/** The tiling that was measured to be the fastest for such a product on this adapter, or the default. */
function tilingFor(product: Product): Tiling {
  const { capabilities, productWatch } = product.a.device;
  if (productWatch === null && capabilities.tilings.size === 0) return defaultTiling(product);
  const shape = shapeOf(product);
  productWatch?.(shape);
  const tuned = capabilities.tilings.get(keyOf(shape));
  return tuned && serves(tuned, product) ? tuned : defaultTiling(product);
}

/**
 * Launches the matrix-unit kernel for f16 operands; see kernels/gemm_matrix.wgsl.
 *
 * @param tiling tried by the tuner; the one kept for such products, or the default, if left out
 */
export function matrixProduct(product: Product, units: 'matrix' | 'emulated', tiling = tilingFor(product)): void {
  const { a, transposeA, b, transposeB, panelsA, panelsB, alpha, y, column, batch, m, n, k } = product;
  const { device } = a;
  const shape = TILES[tiling.tile];
  const r = product.rider?.a.shape[1] ?? 0;
  // Panels have one direction, and the rider goes the same way: [r, n].
  const turns = panelsB && transposeB;
  const [rows, columns] = [Math.ceil(m / shape.TM), Math.ceil(n / shape.TN)];
  const { share, splits } = evenSplits(k, tiling.splits);
  const groups = rows * columns;
  const whole = wholeTiles({ ...tiling, splits }, product);
  const shared = groups - whole;
  const output = edgesOf(n, y.shape[2], column);
  const { C, bindings } = addendAccess(product);
  device.scope(() => {
    const operands = r === 0 ? null : product.rider;
    const rider = operands && turns ? turned(operands) : operands;
    const parts = shared > 0 ? Tensor.empty(device, [batch * shared * splits, shape.TM, shape.TN]) : null;
    const bound = {
      a,
      b,
      ...(rider ? { rider_a: rider.a, rider_b: rider.b } : undefined),
      ...bindings,
      y,
      ...(parts ? { parts } : undefined),
    };
    const common = { m, n, columns, rows, whole, splits, y_row: y.shape[2], y_start: column, alpha };
    device.run({
      ...kernelOf({
        shape,
        transposeA,
        transposeB,
        panelsA,
        panelsB,
        alone: areApart(Object.values(bound)),
        edges: {
          A: panelsA ? 'aligned' : edgesOf(transposeA ? m : k),
          B: panelsB ? 'aligned' : edgesOf(transposeB ? k : n),
          R: edgesOf(r, transposeB && !turns ? 0 : n),
          Y: output,
        },
        rider: r,
        shares: parts !== null,
        whole: { m: m % shape.TM === 0, n: n % shape.TN === 0, k: k > 0 && k % TILE_DEPTH === 0 },
        C,
        Y: y.dtype,
        units,
      }),
      bindings: bound,
      params: {
        ...common,
        k,
        rider: r,
        tiles: depthTiles(k),
        tiles_in_split: share,
        a_batch: a.shape[0] === 1 ? 0 : m * k,
        b_batch: b.shape[0] === 1 ? 0 : k * n,
      },
      workgroups: [whole + shared * splits, 1, batch],
    });
    if (!parts) return;
    device.run({
      ...splitKernel(shape, output, C, y.dtype),
      bindings: { parts, ...bindings, y },
      params: { ...common, batch },
      workgroups: Math.ceil(parts.size / splits / 4 / 256),
    });
  });
}
