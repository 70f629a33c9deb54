import { AttentionRanges } from '../../src/autograd/attention-ranges.ts';
import { attentionOperation } from '../../src/autograd/ops/attention.ts';
import { linearCrossEntropyOperation } from '../../src/autograd/ops/cross-entropy.ts';
import { rmsNormOperation } from '../../src/autograd/ops/rms-norm.ts';
import { ropeOperation } from '../../src/autograd/ops/rope.ts';
import { swigluOperation } from '../../src/autograd/ops/swiglu.ts';
import { RopeTable } from '../../src/autograd/rope-table.ts';
import type { LlamaConfig } from '../../src/formats/hf-config.ts';
import { ropeInverseFrequencies } from '../../src/formats/rope.ts';
import { AdamW8bit } from '../../src/optim/adamw8bit.ts';
import { GradientScaling } from '../../src/optim/gradient-scaling.ts';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { castTo } from '../../src/tensor/copy.ts';
import type { Device } from '../../src/tensor/device.ts';
import { gemm } from '../../src/tensor/gemm/gemm.ts';
import { Indices } from '../../src/tensor/indices.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { matrixShapes } from './shapes.ts';
import type { NormalSource } from './weights.ts';

/** What all parts are measured at. */
export interface Setting {
  device: Device;
  config: LlamaConfig;
  /** Rows of a step and tokens of a row. */
  rows: number;
  seq: number;
  /** Rank of the adapters. */
  r: number;
  /** Start values; their deviation is 1. */
  normal: NormalSource;
}

/** A piece of a training step that is timed alone. */
export interface Part {
  group: string;
  name: string;
  flops?: number;
  /** Bytes that have to be read and written at least. */
  bytes?: number;
  /** Makes inputs in the current scope; `run` records the work, `dispose` frees what outlives the scope. */
  prepare(): { run: () => void; dispose?: () => void };
}

export function partsOf(setting: Setting): Part[] {
  return [
    ...gemmParts(setting),
    ...attentionParts(setting),
    ...lossParts(setting),
    ...weightParts(setting),
    ...optimizerParts(setting),
    ...elementwiseParts(setting),
  ];
}

interface ProductShape {
  m: number;
  n: number;
  k: number;
  transposeA?: boolean;
  transposeB?: boolean;
  dtype?: 'f32' | 'f16';
  /** Dtype of an addend. */
  addend?: 'f32' | 'f16';
}

/** A product of f16 matrices, alone or with an addend. */
export function productPart({ normal }: Setting, name: string, shape: ProductShape): Part {
  const { m, n, k, transposeA = false, transposeB = false, dtype = 'f16', addend } = shape;
  const width = (type: 'f32' | 'f16') => (type === 'f32' ? 4 : 2);
  return {
    group: 'gemm',
    name: `${name} ${m}x${n}x${k}`,
    flops: 2 * m * n * k,
    bytes: 2 * (m * k + k * n) + m * n * (width(dtype) + (addend ? width(addend) : 0)),
    prepare() {
      const a = normal.tensor(transposeA ? [k, m] : [m, k]);
      const b = normal.tensor(transposeB ? [n, k] : [k, n]);
      const c = addend && castTo(normal.tensor([m, n]), addend);
      return { run: () => void gemm({ a, b, transposeA, transposeB, addend: c, dtype }) };
    },
  };
}

function gemmParts(setting: Setting): Part[] {
  const { config, rows, seq, r } = setting;
  const n = rows * seq;
  const product = (name: string, shape: ProductShape) => productPart(setting, name, shape);
  const frozen = matrixShapes(config).flatMap(([name, out, width]) => [
    product(`x·Wᵀ ${name}`, { m: n, n: out, k: width, transposeB: true }),
    product(`dY·W ${name}`, { m: n, n: width, k: out }),
  ]);
  const thin = matrixShapes(config).flatMap(([name, out, width]) => [
    product(`x·Aᵀ ${name}`, { m: n, n: r, k: width, transposeB: true }),
    product(`y + h·Bᵀ ${name}`, { m: n, n: out, k: r, transposeB: true, addend: 'f16' }),
    product(`dY·B ${name}`, { m: n, n: r, k: out }),
    product(`dx + dh·A ${name}`, { m: n, n: width, k: r, addend: 'f16' }),
    product(`dYᵀ·h ${name}`, { m: out, n: r, k: n, transposeA: true, dtype: 'f32' }),
    product(`dhᵀ·x ${name}`, { m: r, n: width, k: n, transposeA: true, dtype: 'f32' }),
  ]);
  const [[, , hidden], , [, wide]] = matrixShapes(config);
  return [
    ...frozen,
    product('x + h·Wᵀ, f32 down', { m: n, n: hidden, k: wide, transposeB: true, dtype: 'f32', addend: 'f32' }),
    product('x·Wᵀ, f32 head', {
      m: Math.min(n, 1024),
      n: config.vocab_size,
      k: hidden,
      transposeB: true,
      dtype: 'f32',
    }),
    product('dYᵀ·x gate, up', { m: wide, n: hidden, k: n, transposeA: true, dtype: 'f32' }),
    ...thin,
  ];
}

function attentionParts({ device, config, rows, seq, normal }: Setting): Part[] {
  const { num_attention_heads: heads, num_key_value_heads: groups, head_dim: size } = config;
  const count = rows * seq;
  const inputsOf = () => [heads, groups, groups].map((n) => normal.tensor([count, n, size]));
  const attributesOf = () => ({
    ranges: AttentionRanges.packed(device, new Array<number>(rows).fill(seq)),
    scale: 1 / Math.sqrt(size),
  });
  const needs = [true, true, true];
  // Two products of [seq × seq × size] a head, over half of the square.
  const flops = 2 * rows * seq * seq * heads * size;
  return [
    {
      group: 'attention',
      name: `forward ${rows}x${seq}x${heads}/${groups}x${size}`,
      flops,
      prepare() {
        const [inputs, attributes] = [inputsOf(), attributesOf()];
        return { run: () => void attentionOperation.forward(inputs, attributes, needs) };
      },
    },
    {
      group: 'attention',
      name: 'backward',
      flops: 2.5 * flops,
      prepare() {
        const [inputs, attributes] = [inputsOf(), attributesOf()];
        const { output, saved = [] } = attentionOperation.forward(inputs, attributes, needs);
        const grad = normal.tensor(output.shape);
        return {
          run: () =>
            void attentionOperation.backward({ grad, inputs, output, saved, attributes, needs, collected: [] }),
        };
      },
    },
  ];
}

function lossParts({ device, config, rows, seq, normal }: Setting): Part[] {
  const { vocab_size: vocabulary, hidden_size: hidden } = config;
  const count = rows * seq;
  return [
    {
      group: 'loss',
      name: `linear cross-entropy with gradient ${count}x${vocabulary}`,
      flops: 4 * count * vocabulary * hidden,
      prepare() {
        const inputs = [normal.tensor([count, hidden]), normal.tensor([vocabulary, hidden])];
        const labels = Indices.from(
          device,
          Int32Array.from({ length: count }, (_, i) => (i * 7919) % vocabulary),
        );
        const attributes = { labels, normalizer: count, ignore_index: -100 };
        return { run: () => void linearCrossEntropyOperation.forward(inputs, attributes, [true, false]) };
      },
    },
  ];
}

function weightParts({ config, normal }: Setting): Part[] {
  return matrixShapes(config)
    .slice(0, 3)
    .map(([name, out, width]) => ({
      group: 'nf4',
      name: `dequantise to f16 ${name} ${out}x${width}`,
      bytes: out * width * (2 + 0.5 + 1 / 64),
      prepare() {
        const weight = quantizeNf4(normal.tensor([out, width]));
        return { run: () => void weight.dense('f16') };
      },
    }));
}

function optimizerParts({ device, config, r, normal }: Setting): Part[] {
  const shapes = matrixShapes(config).flatMap(([names, out, width]) =>
    names.split(', ').flatMap(() => [
      [r, width],
      [out, r],
    ]),
  );
  const all = Array.from({ length: config.num_hidden_layers }, () => shapes).flat();
  const elements = all.reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  return [
    {
      group: 'optimizer',
      name: `gradient norm and 8-bit AdamW, ${all.length} tensors, ${(elements / 1e6).toFixed(1)} M weights`,
      // Gradients are read twice, weights and two bytes of state read and written.
      bytes: elements * (4 + 4 + 8 + 4),
      prepare() {
        const parameters = all.map((shape, i) => {
          const tensor = castTo(normal.tensor(shape), 'f32');
          tensor.requires_grad = true;
          tensor.grad = castTo(normal.tensor(shape), 'f32');
          return { name: `${i}`, tensor };
        });
        const optimizer = new AdamW8bit(parameters);
        const scaling = new GradientScaling(device, { enabled: true });
        return {
          run() {
            scaling.measure(parameters, 1);
            optimizer.step({ lr: 1e-4, stats: scaling.stats });
            scaling.update();
          },
          dispose() {
            optimizer.dispose();
            scaling.dispose();
          },
        };
      },
    },
  ];
}

function elementwiseParts({ device, config, rows, seq, normal }: Setting): Part[] {
  const { hidden_size: hidden, intermediate_size: wide, num_attention_heads: heads, head_dim: size } = config;
  const count = rows * seq;
  const group = 'elementwise';
  const f32 = (shape: number[]) => castTo(normal.tensor(shape), 'f32');
  const attributes = { eps: config.rms_norm_eps, dtype: 'f16' as const };
  const one = () => Tensor.from(device, new Float32Array(hidden).fill(1));
  return [
    {
      group,
      name: `rmsNorm forward ${count}x${hidden}`,
      bytes: count * hidden * 6,
      prepare() {
        const inputs = [f32([count, hidden]), one()];
        return { run: () => void rmsNormOperation.forward(inputs, attributes, [true, false]) };
      },
    },
    {
      group,
      name: 'rmsNorm backward',
      bytes: count * hidden * 10,
      prepare() {
        const inputs = [f32([count, hidden]), one()];
        const grad = normal.tensor([count, hidden]);
        const context = { grad, inputs, output: grad, saved: [], attributes, needs: [true, false], collected: [] };
        return { run: () => void rmsNormOperation.backward(context) };
      },
    },
    {
      group,
      name: `rope ${count}x${heads}x${size}`,
      bytes: count * heads * size * 4,
      prepare() {
        const x = normal.tensor([count, heads, size]);
        const positions = Indices.from(
          device,
          Int32Array.from({ length: count }, (_, i) => i % seq),
        );
        const table = new RopeTable(device, ropeInverseFrequencies(config));
        return {
          run: () => void ropeOperation.forward([x], { table, positions }, [true]),
          dispose: () => table.dispose(),
        };
      },
    },
    {
      group,
      name: `swiglu forward ${count}x${wide}`,
      bytes: count * wide * 6,
      prepare() {
        const inputs = [normal.tensor([count, wide]), normal.tensor([count, wide])];
        return { run: () => void swigluOperation.forward(inputs, undefined, [true, true]) };
      },
    },
    {
      group,
      name: 'swiglu backward',
      bytes: count * wide * 10,
      prepare() {
        const inputs = [normal.tensor([count, wide]), normal.tensor([count, wide])];
        const grad = normal.tensor([count, wide]);
        const context = {
          grad,
          inputs,
          output: grad,
          saved: [],
          attributes: undefined,
          needs: [true, true],
          collected: [],
        };
        return { run: () => void swigluOperation.backward(context) };
      },
    },
  ];
}
