import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { castTo } from '../../src/tensor/copy.ts';
import { gemm } from '../../src/tensor/gemm/gemm.ts';
import type { Part, Setting } from './part.ts';
import { matrixShapes } from './shapes.ts';

interface ProductShape {
  m: number;
  n: number;
  k: number;
  transposeA?: boolean;
  transposeB?: boolean;
  dtype?: 'f32' | 'f16';
  /** Dtype of an addend. */
  addend?: 'f32' | 'f16';
  /** Depth of a thin second product that is added. */
  rider?: number;
  /** Whether b is an NF4 matrix, as the layers' weights are: unpacking it is part of the time. */
  frozen?: boolean;
}

/** A product of f16 matrices, alone or with what is added to it. */
export function productPart({ normal }: Setting, name: string, shape: ProductShape): Part {
  const { m, n, k, transposeA = false, transposeB = false, dtype = 'f16', addend, rider = 0, frozen = false } = shape;
  const width = (type: 'f32' | 'f16') => (type === 'f32' ? 4 : 2);
  return {
    group: 'gemm',
    name: `${name} ${m}x${n}x${k}`,
    flops: 2 * m * n * (k + rider),
    bytes: 2 * (m + n) * (k + rider) + m * n * (width(dtype) + (addend ? width(addend) : 0)),
    prepare() {
      const operands = (depth: number) => ({
        a: normal.tensor(transposeA ? [depth, m] : [m, depth]),
        b: normal.tensor(transposeB ? [n, depth] : [depth, n]),
      });
      const { a, b } = operands(k);
      const product = {
        a,
        b: frozen ? quantizeNf4(b) : b,
        transposeA,
        transposeB,
        dtype,
        addend: addend && castTo(normal.tensor([m, n]), addend),
        rider: rider > 0 ? operands(rider) : undefined,
      };
      return { run: () => void gemm(product) };
    },
  };
}

/**
 * The products of training in all operand orders, those with frozen weights layer by layer. Thin ones a step makes for
 * several layers at once: its profile shows those.
 */
export function gemmParts(setting: Setting): Part[] {
  const { config, rows, seq, r } = setting;
  const n = rows * seq;
  const product = (name: string, shape: ProductShape) => productPart(setting, name, shape);
  const frozen = matrixShapes(config).flatMap(([name, out, width]) => [
    product(`x·Wᵀ ${name}`, { m: n, n: out, k: width, transposeB: true }),
    product(`dY·W ${name}`, { m: n, n: width, k: out }),
    product(`x·Wᵀ + h·Bᵀ, NF4 ${name}`, { m: n, n: out, k: width, transposeB: true, rider: r, frozen: true }),
    product(`dY·W + dh·A, NF4 ${name}`, { m: n, n: width, k: out, rider: r, frozen: true }),
  ]);
  const thin = matrixShapes(config).flatMap(([name, out, width]) => [
    product(`x·Aᵀ ${name}`, { m: n, n: r, k: width, transposeB: true }),
    product(`dY·B ${name}`, { m: n, n: r, k: out }),
    product(`dYᵀ·h ${name}`, { m: out, n: r, k: n, transposeA: true, dtype: 'f32' }),
    product(`dhᵀ·x ${name}`, { m: r, n: width, k: n, transposeA: true, dtype: 'f32' }),
  ]);
  const [[, , hidden], [, narrow], [, wide]] = matrixShapes(config);
  return [
    ...frozen,
    product('dY·W + dh·A, NF4 q, k, v', { m: n, n: hidden, k: hidden + 2 * narrow, rider: 3 * r, frozen: true }),
    product('x + h·Wᵀ + h·Bᵀ, NF4, f32 down', {
      m: n,
      n: hidden,
      k: wide,
      transposeB: true,
      dtype: 'f32',
      addend: 'f32',
      rider: r,
      frozen: true,
    }),
    product('W·xᵀ, f32 head', { m: config.vocab_size, n: Math.min(n, 512), k: hidden, dtype: 'f32' }),
    product('dYᵀ·x gate, up', { m: wide, n: hidden, k: n, transposeA: true, dtype: 'f32' }),
    ...thin,
  ];
}
