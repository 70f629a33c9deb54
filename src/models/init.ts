import type { LlamaConfig } from '../formats/hf-config.ts';
import { sizeOf } from '../tensor/shape.ts';

/** The embedding's name. */
export const EMBEDDING = 'model.embed_tokens.weight';

/** Name and shape of every weight of a Llama, in the order of its layers; a tied head is left out. */
export function weightShapes(config: LlamaConfig): Map<string, number[]> {
  const { hidden_size: hidden, intermediate_size: wide, vocab_size: vocabulary, head_dim: size } = config;
  const queries = config.num_attention_heads * size;
  const groups = config.num_key_value_heads * size;
  const shapes = new Map<string, number[]>([[EMBEDDING, [vocabulary, hidden]]]);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const add = (name: string, shape: number[]) => shapes.set(`model.layers.${layer}.${name}.weight`, shape);
    add('input_layernorm', [hidden]);
    add('self_attn.q_proj', [queries, hidden]);
    add('self_attn.k_proj', [groups, hidden]);
    add('self_attn.v_proj', [groups, hidden]);
    add('self_attn.o_proj', [hidden, queries]);
    add('post_attention_layernorm', [hidden]);
    add('mlp.gate_proj', [wide, hidden]);
    add('mlp.up_proj', [wide, hidden]);
    add('mlp.down_proj', [hidden, wide]);
  }
  shapes.set('model.norm.weight', [hidden]);
  if (!config.tie_word_embeddings) shapes.set('lm_head.weight', [vocabulary, hidden]);
  return shapes;
}

/** Whether a weight is a matrix of a block: what 4-bit loading quantises. */
export function isLayerMatrix(name: string, shape: readonly number[]): boolean {
  return shape.length === 2 && name.startsWith('model.layers.');
}

/** Names of the linear layers that adapters may attach to, as {@link Llama.linears} has them, before any weight is read. */
export function linearNames(config: LlamaConfig): string[] {
  const layers = [...weightShapes(config).keys()].filter((name) => name.endsWith('_proj.weight'));
  return [...layers.map((name) => name.slice(0, -'.weight'.length)), 'lm_head'];
}

/**
 * Start values of a weight as in GPT-2: normal with deviation 0.02, smaller by √(2·layers) where a block writes to
 * the residual stream; norms are one.
 *
 * @param normal numbers from the standard normal distribution
 */
export function initialWeight(
  name: string,
  shape: readonly number[],
  config: LlamaConfig,
  normal: () => number,
): Float32Array {
  if (shape.length === 1) return new Float32Array(shape[0]).fill(1);
  const writes = name.includes('o_proj') || name.includes('down_proj');
  const deviation = 0.02 / (writes ? Math.sqrt(2 * config.num_hidden_layers) : 1);
  return Float32Array.from({ length: sizeOf(shape) }, () => normal() * deviation);
}
