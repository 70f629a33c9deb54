import { AttentionRanges } from '../../src/autograd/attention-ranges.ts';
import type { Operation } from '../../src/autograd/operation.ts';
import { attentionOperation } from '../../src/autograd/ops/attention.ts';
import { linearCrossEntropyOperation } from '../../src/autograd/ops/cross-entropy.ts';
import { rmsNormOperation } from '../../src/autograd/ops/rms-norm.ts';
import { ropeOperation } from '../../src/autograd/ops/rope.ts';
import { swigluOperation } from '../../src/autograd/ops/swiglu.ts';
import { RopeTable } from '../../src/autograd/rope-table.ts';
import { ropeInverseFrequencies } from '../../src/formats/rope.ts';
import { castTo } from '../../src/tensor/copy.ts';
import { Indices } from '../../src/tensor/indices.ts';
import { panelsSuit } from '../../src/tensor/panel-matrix.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import type { Part, Setting } from './part.ts';

interface Operands<A> {
  inputs: Tensor[];
  attributes: A;
  needs: boolean[];
  dispose?: () => void;
}

/** Parts for the forward and the backward pass of an operation; `prepare` makes its inputs in the current scope. */
function operationParts<A>(
  { normal }: Setting,
  op: Operation<A>,
  prepare: () => Operands<A>,
  forward: Omit<Part, 'prepare'>,
  backward: Omit<Part, 'prepare'>,
): Part[] {
  return [
    {
      ...forward,
      prepare() {
        const { inputs, attributes, needs, dispose } = prepare();
        return { run: () => void op.forward(inputs, attributes, needs), dispose };
      },
    },
    {
      ...backward,
      prepare() {
        const { inputs, attributes, needs, dispose } = prepare();
        const { output, saved = [] } = op.forward(inputs, attributes, needs);
        const grad = castTo(normal.tensor(output.shape), output.dtype);
        const collected = inputs.map(({ dtype }) => ({ dtype: dtype as 'f32' | 'f16' }));
        const context = { grad, grads: [grad], inputs, output, saved, attributes, needs, collected };
        return { run: () => void op.backward(context), dispose };
      },
    },
  ];
}

export function attentionParts(setting: Setting): Part[] {
  const { device, config, rows, seq, normal } = setting;
  const { num_attention_heads: heads, num_key_value_heads: groups, head_dim: size } = config;
  const group = 'attention';
  // Two products of [seq × seq × size] a head, over half of the square; the backward pass has five.
  const flops = 2 * rows * seq * seq * heads * size;
  return operationParts(
    setting,
    attentionOperation,
    () => ({
      inputs: [heads, groups, groups].map((n) => normal.tensor([rows * seq, n, size])),
      attributes: {
        ranges: AttentionRanges.packed(device, new Array<number>(rows).fill(seq)),
        scale: 1 / Math.sqrt(size),
      },
      needs: [true, true, true],
    }),
    { group, name: `forward ${rows}x${seq}x${heads}/${groups}x${size}`, flops },
    { group, name: 'backward', flops: 2.5 * flops },
  );
}

export function lossParts({ device, config, rows, seq, normal }: Setting): Part[] {
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

export function elementwiseParts(setting: Setting): Part[] {
  const { device, config, rows, seq, normal } = setting;
  const { hidden_size: hidden, intermediate_size: wide, num_attention_heads: heads, head_dim: size } = config;
  const count = rows * seq;
  const group = 'elementwise';
  const norm = operationParts(
    setting,
    rmsNormOperation,
    () => ({
      inputs: [castTo(normal.tensor([count, hidden]), 'f32'), Tensor.from(device, new Float32Array(hidden).fill(1))],
      attributes: { eps: config.rms_norm_eps, dtype: 'f16' as const, panels: panelsSuit(device, [count, hidden]) },
      needs: [true, false],
    }),
    { group, name: `rmsNorm forward ${count}x${hidden}`, bytes: count * hidden * 6 },
    { group, name: 'rmsNorm backward', bytes: count * hidden * 10 },
  );
  const rope = operationParts(
    setting,
    ropeOperation,
    () => {
      const table = new RopeTable(device, ropeInverseFrequencies(config));
      const positions = Indices.from(
        device,
        Int32Array.from({ length: count }, (_, i) => i % seq),
      );
      return {
        inputs: [normal.tensor([count, heads, size])],
        attributes: { table, positions },
        needs: [true],
        dispose: () => table.dispose(),
      };
    },
    { group, name: `rope forward ${count}x${heads}x${size}`, bytes: count * heads * size * 4 },
    { group, name: 'rope backward', bytes: count * heads * size * 4 },
  );
  const swiglu = operationParts(
    setting,
    swigluOperation,
    () => ({
      inputs: [normal.tensor([count, wide]), normal.tensor([count, wide])],
      attributes: { panels: panelsSuit(device, [count, wide]) },
      needs: [true, true],
    }),
    { group, name: `swiglu forward ${count}x${wide}`, bytes: count * wide * 6 },
    { group, name: 'swiglu backward', bytes: count * wide * 10 },
  );
  return [...norm, ...rope, ...swiglu];
}
