import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { castTo } from '../../src/tensor/copy.ts';
import { gemm } from '../../src/tensor/gemm/gemm.ts';
import { inPanels, panelsSuit } from '../../src/tensor/panel-matrix.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import type { Part, Setting } from './part.ts';
import { matrixShapes } from './shapes.ts';
import { Unpacked } from './unpacked.ts';

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
  /** Whether b is an NF4 matrix, as the layers' weights are: unpacking it is part of the time unless it was before. */
  frozen?: boolean | 'unpacked';
  /** Which operand, activations or their gradients, lies in panels, as products of a step find most of them. */
  panels?: 'a' | 'b';
}

function frozenOperand(b: Tensor, frozen: true | 'unpacked', transposeB: boolean): Tensor {
  const weight = quantizeNf4(b);
  return frozen === 'unpacked' ? new Unpacked(weight, transposeB) : weight;
}

/** A product of f16 matrices, alone or with what is added to it. */
export function productPart({ normal }: Setting, name: string, shape: ProductShape): Part {
  const { m, n, k, transposeA = false, transposeB = false, dtype = 'f16', addend, rider = 0, frozen = false } = shape;
  const ordered = (x: Tensor, operand: 'a' | 'b') => (shape.panels === operand ? inPanels([x]) : x);
  const width = (type: 'f32' | 'f16') => (type === 'f32' ? 4 : 2);
  return {
    group: 'gemm',
    name: `${name}${shape.panels ? ', panels' : ''} ${m}x${n}x${k}`,
    flops: 2 * m * n * (k + rider),
    bytes:
      2 * (m * (k + rider) + n * rider) +
      (frozen === true ? 0.5 : 2) * n * k +
      m * n * (width(dtype) + (addend ? width(addend) : 0)),
    prepare() {
      const operands = (depth: number) => ({
        a: normal.tensor(transposeA ? [depth, m] : [m, depth]),
        b: normal.tensor(transposeB ? [n, depth] : [depth, n]),
      });
      const { a, b } = operands(k);
      const product = {
        a: ordered(a, 'a'),
        b: frozen ? frozenOperand(b, frozen, transposeB) : ordered(b, 'b'),
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
 * several layers at once: its profile shows those. Where panels suit, the products of a step are timed with them too.
 */
export function gemmParts(setting: Setting): Part[] {
  const { config, rows, seq, r } = setting;
  const tokens = rows * seq;
  const product = (name: string, shape: ProductShape) => productPart(setting, name, shape);
  const both = (name: string, panels: 'a' | 'b', shape: ProductShape) => {
    const width = panels === 'b' ? shape.n : shape.transposeA ? shape.m : shape.k;
    const suit = panelsSuit(setting.device, [tokens, width]);
    return [product(name, shape), ...(suit ? [product(name, { ...shape, panels })] : [])];
  };
  const frozen = matrixShapes(config).flatMap(([name, out, width]) => [
    product(`x·Wᵀ ${name}`, { m: tokens, n: out, k: width, transposeB: true }),
    product(`dY·W ${name}`, { m: tokens, n: width, k: out }),
    ...both(`x·Wᵀ + h·Bᵀ, NF4 ${name}`, 'a', { m: tokens, n: out, k: width, transposeB: true, rider: r, frozen: true }),
    ...both(`dY·W + dh·A, NF4 ${name}`, 'a', { m: tokens, n: width, k: out, rider: r, frozen: true }),
  ]);
  const thin = matrixShapes(config).flatMap(([name, out, width]) => [
    ...both(`x·Aᵀ ${name}`, 'a', { m: tokens, n: r, k: width, transposeB: true }),
    ...both(`dY·B ${name}`, 'a', { m: tokens, n: r, k: out }),
    ...both(`dYᵀ·h ${name}`, 'a', { m: out, n: r, k: tokens, transposeA: true, dtype: 'f32' }),
    ...both(`dhᵀ·x ${name}`, 'b', { m: r, n: width, k: tokens, transposeA: true, dtype: 'f32' }),
  ]);
  const [[, , hidden], [, narrow], [, wide]] = matrixShapes(config);
  return [
    ...frozen,
    ...both('dY·W + dh·A, NF4 q, k, v', 'a', {
      m: tokens,
      n: hidden,
      k: hidden + 2 * narrow,
      rider: 3 * r,
      frozen: true,
    }),
    ...both('x + h·Wᵀ + h·Bᵀ, NF4, f32 down', 'a', {
      m: tokens,
      n: hidden,
      k: wide,
      transposeB: true,
      dtype: 'f32',
      addend: 'f32',
      rider: r,
      frozen: true,
    }),
    product('W·xᵀ, f32 head', { m: config.vocab_size, n: Math.min(tokens, 512), k: hidden, dtype: 'f32' }),
    product('dYᵀ·x gate, up', { m: wide, n: hidden, k: tokens, transposeA: true, dtype: 'f32' }),
    ...thin,
  ];
}
