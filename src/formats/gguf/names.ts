/** Names of a layer's tensors in Hugging Face checkpoints and in GGUF. */
const LAYER_NAMES: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};
const OTHER_NAMES: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight',
};

/** Frequency factors of rotary embeddings, which Hugging Face computes from config.json. */
export const ROPE_FACTORS = 'rope_freqs.weight';

/** GGUF's name of a Llama's tensor, by its Hugging Face name. */
export function ggufName(name: string): string {
  const layer = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name);
  const translated = layer
    ? LAYER_NAMES[layer[2]] && `blk.${layer[1]}.${LAYER_NAMES[layer[2]]}.weight`
    : OTHER_NAMES[name];
  if (!translated) throw new Error(`gguf: no name for ${name}`);
  return translated;
}
