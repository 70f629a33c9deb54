import { combinations, type KernelVariant } from '../variants.ts';
import { addendAccess, bindingsOf, type Product } from './product.ts';

const DTYPES = ['f32', 'f16'] as const;
/** Rows and columns of results in the registers of an invocation: many rows share operands, few waste none. */
const BLOCKS = { large: { ROWS: '8', COLUMNS: '8' }, small: { ROWS: '1', COLUMNS: '2' } } as const;

/** Kernel variants of this file. */
export const variants: KernelVariant[] = Object.values(BLOCKS).flatMap((block) =>
  [
    ...combinations({ A: DTYPES, B: DTYPES, C: ['none', ...DTYPES], Y: DTYPES }),
    ...combinations({ A: DTYPES, B: DTYPES, C: ['own_f32'], Y: ['f32'] }),
  ].map((dtypes) => ({
    kernel: 'gemm_portable.wgsl',
    defines: { ...dtypes, ...block },
    bindings: bindingsOf(dtypes),
  })),
);

/** Fewest and most invocations side by side in a workgroup: those beyond the last column would idle. */
const LANES = { least: 8, most: 32 };

/** Launches the portable kernel; see kernels/gemm_portable.wgsl. */
export function portableProduct(product: Product): void {
  const { a, transposeA, b, transposeB, alpha, y, column, batch, m, n, k } = product;
  const { C, bindings } = addendAccess(product);
  const block = m < 4 ? BLOCKS.small : BLOCKS.large;
  const across = Math.ceil(n / Number(block.COLUMNS));
  const lanes = Math.min(LANES.most, Math.max(LANES.least, 2 ** Math.ceil(Math.log2(across))));
  a.device.run({
    kernel: 'gemm_portable.wgsl',
    defines: { A: a.dtype, B: b.dtype, C, Y: y.dtype, ...block },
    constants: { LANES: lanes },
    bindings: { a, b, ...bindings, y },
    params: {
      m,
      n,
      k,
      a_row: transposeA ? 1 : k,
      a_column: transposeA ? m : 1,
      a_batch: a.shape[0] === 1 ? 0 : m * k,
      b_row: transposeB ? 1 : n,
      b_column: transposeB ? k : 1,
      b_batch: b.shape[0] === 1 ? 0 : k * n,
      y_row: y.shape[2],
      y_start: column,
      alpha,
    },
    workgroups: [Math.ceil(across / lanes), Math.ceil(m / Number(block.ROWS)), batch],
  });
}
