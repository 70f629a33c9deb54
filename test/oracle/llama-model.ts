import { loadLibraries } from './llama.ts';

/** Fields of `llama_model_params`, `llama_context_params` and `llama_batch` in llama.h, as in node-llama-cpp 3.21. */
const MODEL_PARAMS = {
  devices: 'void *',
  tensor_buft_overrides: 'void *',
  n_gpu_layers: 'int32_t',
  split_mode: 'int',
  load_mode: 'int',
  lazy_mode: 'int',
  main_gpu: 'int32_t',
  tensor_split: 'void *',
  progress_callback: 'void *',
  progress_callback_user_data: 'void *',
  kv_overrides: 'void *',
  vocab_only: 'bool',
  check_tensors: 'bool',
  use_extra_bufts: 'bool',
  no_host: 'bool',
  no_alloc: 'bool',
  load_mtp: 'bool',
};
const CONTEXT_PARAMS = {
  n_ctx: 'uint32_t',
  n_batch: 'uint32_t',
  n_ubatch: 'uint32_t',
  n_seq_max: 'uint32_t',
  n_rs_seq: 'uint32_t',
  n_outputs_max: 'uint32_t',
  n_outputs_max_per_seq: 'uint32_t',
  n_threads: 'int32_t',
  n_threads_batch: 'int32_t',
  ctx_type: 'int',
  rope_scaling_type: 'int',
  pooling_type: 'int',
  attention_type: 'int',
  flash_attn_type: 'int',
  rope_freq_base: 'float',
  rope_freq_scale: 'float',
  yarn_ext_factor: 'float',
  yarn_attn_factor: 'float',
  yarn_beta_fast: 'float',
  yarn_beta_slow: 'float',
  yarn_orig_ctx: 'uint32_t',
  defrag_thold: 'float',
  cb_eval: 'void *',
  cb_eval_user_data: 'void *',
  type_k: 'int',
  type_v: 'int',
  abort_callback: 'void *',
  abort_callback_data: 'void *',
  embeddings: 'bool',
  offload_kqv: 'bool',
  no_perf: 'bool',
  op_offload: 'bool',
  swa_full: 'bool',
  kv_unified: 'bool',
  samplers: 'void *',
  n_samplers: 'size_t',
  ctx_other: 'void *',
};
const BATCH = {
  n_tokens: 'int32_t',
  token: 'int32_t *',
  embd: 'void *',
  pos: 'int32_t *',
  n_seq_id: 'int32_t *',
  seq_id: 'void *',
  logits: 'int8_t *',
};

/** A model that llama.cpp has loaded, on one thread. */
export interface OracleModel {
  /** Logits [tokens, vocabulary] of a document that starts at its first token. */
  logits(tokens: readonly number[]): Float32Array;
  close(): void;
}

let types: Promise<{ defaults: (name: string) => object }> | null = null;

/** Registers the types, which koffi allows once. */
async function registerTypes() {
  const { koffi, llama } = await loadLibraries();
  koffi.struct('llama_model_params', MODEL_PARAMS);
  koffi.struct('llama_context_params', CONTEXT_PARAMS);
  koffi.struct('llama_batch', BATCH);
  return { defaults: (name: string) => llama.func(`llama_${name}_params llama_${name}_default_params()`)() as object };
}

/**
 * Loads a GGUF file, or all parts of a divided one by its first.
 *
 * @param context most tokens of a document
 */
export async function openModel(file: string, context: number): Promise<OracleModel> {
  types ??= registerTypes();
  const { defaults } = await types;
  const { koffi, llama } = await loadLibraries();
  const model = llama.func('void *llama_model_load_from_file(const char *file, llama_model_params params)')(file, {
    ...defaults('model'),
    n_gpu_layers: 0,
  });
  if (!model) throw new Error(`llama.cpp did not load ${file}`);
  const vocab = llama.func('void *llama_model_get_vocab(void *model)')(model);
  const size = llama.func('int32_t llama_vocab_n_tokens(void *vocab)')(vocab) as number;
  const state = llama.func('void *llama_init_from_model(void *model, llama_context_params params)')(model, {
    ...defaults('context'),
    n_ctx: context,
    n_batch: context,
    n_ubatch: context,
    n_threads: 1,
    n_threads_batch: 1,
    // Keys and values in f32 (GGML_TYPE_F32), so that only the weights are rounded; and no flash attention.
    type_k: 0,
    type_v: 0,
    flash_attn_type: 0,
  });
  if (!state) throw new Error(`llama.cpp made no context for ${file}`);
  const memory = llama.func('void *llama_get_memory(void *context)')(state);
  const clear = llama.func('void llama_memory_clear(void *memory, bool data)');
  const decode = llama.func('int32_t llama_decode(void *context, llama_batch batch)');
  const logitsOf = llama.func('float *llama_get_logits(void *context)');
  return {
    logits(tokens) {
      clear(memory, true);
      // Without sequence ids every token belongs to sequence 0.
      const failed = decode(state, {
        n_tokens: tokens.length,
        token: Int32Array.from(tokens),
        embd: null,
        pos: Int32Array.from(tokens, (_, i) => i),
        n_seq_id: null,
        seq_id: null,
        logits: new Int8Array(tokens.length).fill(1),
      });
      if (failed !== 0) throw new Error(`llama.cpp did not decode ${file} (${failed})`);
      return Float32Array.from(
        koffi.decode(logitsOf(state), koffi.array('float', tokens.length * size)) as ArrayLike<number>,
      );
    },
    close() {
      llama.func('void llama_free(void *context)')(state);
      llama.func('void llama_model_free(void *model)')(model);
    },
  };
}
