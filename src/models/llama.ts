import { AttentionRanges } from '../autograd/attention-ranges.ts';
import { checkpoint } from '../autograd/checkpoint.ts';
import { attention } from '../autograd/ops/attention.ts';
import { linearCrossEntropy } from '../autograd/ops/cross-entropy.ts';
import { embedding } from '../autograd/ops/embedding.ts';
import { reshape } from '../autograd/ops/reshape.ts';
import { rmsNorm } from '../autograd/ops/rms-norm.ts';
import { rope } from '../autograd/ops/rope.ts';
import { swiglu } from '../autograd/ops/swiglu.ts';
import { RopeTable } from '../autograd/rope-table.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import { ropeInverseFrequencies } from '../formats/rope.ts';
import type { Device } from '../tensor/device.ts';
import { Indices } from '../tensor/indices.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Batch } from './batch.ts';
import { EMBEDDING } from './init.ts';
import type { KvCache } from './kv-cache.ts';
import { forwardTogether, Linear, readPanels } from './linear.ts';

/**
 * `f32` computes in f32 throughout; `mixed` keeps residual stream, norms, softmax and loss in f32 and the rest in f16,
 * which is what matrix units take.
 */
export type Precision = 'f32' | 'mixed';

/** What a layer needs to know of the tokens that pass through it. */
interface Pass {
  positions: Indices;
  ranges: AttentionRanges;
  table: RopeTable;
  /** For dropout; none is applied without one. */
  seed?: number;
  /** Where keys and values go when generating. */
  cache?: { store: KvCache; rows: Indices };
}

/** One transformer block, named as in Hugging Face checkpoints. */
export class LlamaLayer {
  readonly index: number;
  readonly config: LlamaConfig;
  readonly compute: 'f32' | 'f16';
  readonly inputNorm: Tensor;
  readonly postAttentionNorm: Tensor;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly o: Linear;
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;

  /** @param weight gives a checkpoint tensor by its full name */
  constructor(index: number, config: LlamaConfig, compute: 'f32' | 'f16', weight: (name: string) => Tensor) {
    this.index = index;
    this.config = config;
    this.compute = compute;
    const prefix = `model.layers.${index}`;
    const linear = (name: string) => new Linear(`${prefix}.${name}`, weight(`${prefix}.${name}.weight`));
    this.inputNorm = weight(`${prefix}.input_layernorm.weight`);
    this.postAttentionNorm = weight(`${prefix}.post_attention_layernorm.weight`);
    this.q = linear('self_attn.q_proj');
    this.k = linear('self_attn.k_proj');
    this.v = linear('self_attn.v_proj');
    this.o = linear('self_attn.o_proj');
    this.gate = linear('mlp.gate_proj');
    this.up = linear('mlp.up_proj');
    this.down = linear('mlp.down_proj');
  }

  linears(): Linear[] {
    return [this.q, this.k, this.v, this.o, this.gate, this.up, this.down];
  }

  /** [N, hidden] f32 → [N, hidden] f32, the residual stream. */
  forward(x: Tensor, pass: Pass): Tensor {
    const attended = x.device.scope(() => this.#attend(x, pass));
    return x.device.scope(() => this.#mlp(attended, pass));
  }

  #attend(x: Tensor, pass: Pass): Tensor {
    const { positions, ranges, table, seed, cache } = pass;
    const { num_attention_heads: heads, num_key_value_heads: groups, head_dim: size } = this.config;
    const [count] = x.shape;
    const readers = [this.q, this.k, this.v];
    const normed = this.#normed(x, this.inputNorm, readers, pass);
    const projected = forwardTogether(normed, readers, { seed });
    const q = rope(reshape(projected[0], [count, heads, size]), table, positions);
    const k = rope(reshape(projected[1], [count, groups, size]), table, positions);
    const v = reshape(projected[2], [count, groups, size]);
    const { keys, values } = cache ? cache.store.write(this.index, k, v, cache.rows) : { keys: k, values: v };
    const mixed = reshape(attention(q, keys, values, { ranges }), [count, heads * size]);
    return this.o.forward(mixed, { residual: x, dtype: 'f32', seed });
  }

  /** Whether what these layers read is made in panels: not when generating, a few tokens at a time. */
  #inPanels(linears: readonly Linear[], shape: Shape, { seed, cache }: Pass): boolean {
    return this.compute === 'f16' && !cache && readPanels(linears, linears[0].weight.device, shape, { seed });
  }

  /** x normalised, as the layers that read it like it best. */
  #normed(x: Tensor, weight: Tensor, readers: readonly Linear[], pass: Pass): Tensor {
    const panels = this.#inPanels(readers, x.shape, pass);
    return rmsNorm(x, weight, { eps: this.config.rms_norm_eps, dtype: this.compute, panels });
  }

  #mlp(x: Tensor, pass: Pass): Tensor {
    const { seed } = pass;
    const readers = [this.gate, this.up];
    const normed = this.#normed(x, this.postAttentionNorm, readers, pass);
    const [gate, up] = forwardTogether(normed, readers, { seed });
    const panels = this.#inPanels([...readers, this.down], gate.shape, pass);
    const hidden = swiglu(gate, up, { panels });
    return this.down.forward(hidden, { residual: x, dtype: 'f32', seed });
  }
}

/** A Llama for causal language modelling (Llama 3: arXiv:2407.21783), with the names of its checkpoints. */
export class Llama {
  readonly device: Device;
  readonly config: LlamaConfig;
  readonly precision: Precision;
  readonly embed: Tensor;
  readonly layers: LlamaLayer[];
  readonly norm: Tensor;
  readonly head: Linear;
  readonly #table: RopeTable;

  /** @param weight gives a persistent tensor by checkpoint name; a tied head is the embedding itself */
  constructor(device: Device, config: LlamaConfig, precision: Precision, weight: (name: string) => Tensor) {
    this.device = device;
    this.config = config;
    this.precision = precision;
    this.embed = weight(EMBEDDING);
    this.layers = Array.from(
      { length: config.num_hidden_layers },
      (_, index) => new LlamaLayer(index, config, this.compute, weight),
    );
    this.norm = weight('model.norm.weight');
    this.head = new Linear('lm_head', config.tie_word_embeddings ? this.embed : weight('lm_head.weight'));
    this.#table = new RopeTable(device, ropeInverseFrequencies(config));
  }

  /** Dtype of activations inside the blocks and of matrix products. */
  get compute(): 'f32' | 'f16' {
    return this.precision === 'mixed' ? 'f16' : 'f32';
  }

  /** All linear layers that adapters may attach to, by name. */
  linears(): Map<string, Linear> {
    const all = [...this.layers.flatMap((layer) => layer.linears()), this.head];
    return new Map(all.map((linear) => [linear.name, linear]));
  }

  /** Every base weight by checkpoint name, without adapters; a tied head appears once. */
  weights(): Map<string, Tensor> {
    const weights = new Map<string, Tensor>([[EMBEDDING, this.embed]]);
    for (const layer of this.layers) {
      const prefix = `model.layers.${layer.index}`;
      weights.set(`${prefix}.input_layernorm.weight`, layer.inputNorm);
      weights.set(`${prefix}.post_attention_layernorm.weight`, layer.postAttentionNorm);
      for (const linear of layer.linears()) weights.set(`${linear.name}.weight`, linear.weight);
    }
    weights.set('model.norm.weight', this.norm);
    if (this.head.weight !== this.embed) weights.set('lm_head.weight', this.head.weight);
    return weights;
  }

  /** Final hidden states [N, hidden] in the compute dtype, before the head. */
  hidden(ids: Indices, pass: Omit<Pass, 'table'>): Tensor {
    const full: Pass = { ...pass, table: this.#table };
    let x = embedding(this.embed, ids, { dtype: 'f32' });
    for (const layer of this.layers) {
      const next = checkpoint((input) => layer.forward(input, full), x);
      this.device.drop(x);
      x = next;
    }
    return rmsNorm(x, this.norm, { eps: this.config.rms_norm_eps, dtype: this.compute });
  }

  /** Logits [N, vocabulary] in f32 of a whole batch: for small inputs, where that fits in memory. */
  logits(batch: Batch): Tensor {
    return this.device.scope(() => this.head.forward(this.hidden(batch.ids, batch), { dtype: 'f32' }));
  }

  /**
   * Sum of the cross-entropies of a batch's targets, divided by `normalizer`.
   *
   * @param normalizer count of targets of the whole optimiser step, so that micro-batches add up to its mean
   * @returns f32 [1]
   */
  loss(batch: Batch, normalizer: number): Tensor {
    // What the tape does not keep dies here, not at the end of the backward pass.
    return this.device.scope(() =>
      linearCrossEntropy(this.hidden(batch.ids, batch), this.head.weight, batch.targets, { normalizer }),
    );
  }

  /**
   * One step of generation: reads `tokens[s]` as the next tokens of sequence s.
   *
   * @returns f32 logits of what follows, a row for each sequence that got tokens, in order
   */
  next(tokens: readonly (readonly number[])[], cache: KvCache): Tensor {
    const { device } = this;
    return device.scope(() => {
      const counts = tokens.map((list) => list.length);
      const positions = tokens.flatMap((list, s) => list.map((_, i) => cache.lengths[s] + i));
      const owners = tokens.flatMap((list, s) => list.map(() => s));
      const rows = Indices.from(device, cache.nextRows(counts));
      const ranges = AttentionRanges.explicit(
        device,
        owners.map((s) => s * cache.capacity),
        owners.map((s, i) => s * cache.capacity + positions[i] + 1),
        cache.sequences * cache.capacity,
      );
      const ids = Indices.from(device, tokens.flat());
      const hidden = this.hidden(ids, {
        positions: Indices.from(device, positions),
        ranges,
        cache: { store: cache, rows },
      });
      cache.advance(counts);
      const last = owners.flatMap((s, i) => (owners[i + 1] === s ? [] : [i]));
      return this.head.forward(embedding(hidden, Indices.from(device, last)), { dtype: 'f32' });
    });
  }

  /** Frees the weights and adapters. */
  dispose(): void {
    for (const weight of this.weights().values()) weight.dispose();
    for (const linear of this.linears().values())
      for (const { tensor } of linear.adapter?.parameters() ?? []) tensor.dispose();
    this.#table.dispose();
  }
}
