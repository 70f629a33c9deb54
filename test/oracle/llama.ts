import { readdirSync } from 'node:fs';
import path from 'node:path';
import { GGML_TYPES, type GgmlType } from '../../src/formats/gguf/types.ts';
import { libraries, skipReason } from './ggml.ts';

export { skipReason };

/** Fields of `llama_model_quantize_params` in llama.h of the llama.cpp inside node-llama-cpp 3.21. */
const QUANTIZE_PARAMS = {
  nthread: 'int32_t',
  ftype: 'int',
  output_tensor_type: 'int',
  token_embedding_type: 'int',
  allow_requantize: 'bool',
  quantize_output_tensor: 'bool',
  only_copy: 'bool',
  pure: 'bool',
  keep_split: 'bool',
  dry_run: 'bool',
  imatrix: 'void *',
  kv_overrides: 'void *',
  tt_overrides: 'void *',
  prune_layers: 'void *',
  max_buf_size: 'size_t',
};

export interface LlamaQuantize {
  /** llama.cpp's number of the kind of file (`llama_ftype`). */
  fileType: number;
  threads?: number;
  /** Importances by tensor name. */
  importance?: ReadonlyMap<string, Float32Array>;
}

/** A tensor of a GGUF file as ggml reads it. */
export interface OracleTensor {
  type: GgmlType;
  /** Innermost dimension first, as in ggml; ones at the end left out. */
  ne: number[];
  /** Byte range in the file. */
  begin: number;
  end: number;
}

/** Functions of the real llama.cpp, called through its C interface. */
export interface LlamaLibrary {
  /** `llama_model_quantize`; throws where it refuses. */
  quantize(from: string, to: string, options: LlamaQuantize): void;
  /** The tensors of a GGUF file, read by ggml's own reader. */
  tensors(file: string): Map<string, OracleTensor>;
}

let opened: Promise<LlamaLibrary> | null = null;

/** Opens the libraries once; a process can register their types only once. */
export function openLlama(): Promise<LlamaLibrary> {
  opened ??= open();
  return opened;
}

/** The libraries of llama.cpp with their log turned off, loaded once. */
export function loadLibraries(): ReturnType<typeof load> {
  loaded ??= load();
  return loaded;
}

let loaded: ReturnType<typeof load> | null = null;

async function load() {
  const folder = libraries();
  if (!folder) throw new Error('llama.cpp is not installed');
  const { default: koffi } = await import('koffi');
  const find = (name: string) => {
    const file = readdirSync(folder).find((entry) =>
      new RegExp(`^(lib)?${name}(\\..*)?\\.(so|dylib|dll)$`).test(entry),
    );
    return koffi.load(path.join(folder, file as string));
  };
  const base = find('ggml-base');
  const ggml = find('ggml');
  const llama = find('llama');

  // Errors come back as results; the log would drown a test's output.
  const silent = koffi.proto('void silent_log(int level, const char *text, void *data)');
  const quiet = koffi.register(() => {}, koffi.pointer(silent));
  llama.func('void llama_log_set(silent_log *callback, void *data)')(quiet, null);
  ggml.func('void ggml_backend_load_all_from_path(const char *path)')(folder);
  llama.func('void llama_backend_init()')();
  return { koffi, base, llama };
}

async function open(): Promise<LlamaLibrary> {
  const { koffi, base, llama } = await loadLibraries();
  koffi.struct('llama_model_quantize_params', QUANTIZE_PARAMS);
  const Importance = koffi.struct('llama_model_imatrix_data', {
    name: 'const char *',
    data: 'float *',
    size: 'size_t',
  });
  const defaults = llama.func('llama_model_quantize_params llama_model_quantize_default_params()');
  const quantize = llama.func(
    'uint32_t llama_model_quantize(const char *from, const char *to, llama_model_quantize_params *params)',
  );

  koffi.struct('gguf_init_params', { no_alloc: 'bool', ctx: 'void *' });
  const init = base.func('void *gguf_init_from_file(const char *file, gguf_init_params params)');
  const free = base.func('void gguf_free(void *context)');
  const count = base.func('int64_t gguf_get_n_tensors(void *context)');
  const dataOffset = base.func('size_t gguf_get_data_offset(void *context)');
  const nameOf = base.func('const char *gguf_get_tensor_name(void *context, int64_t id)');
  const typeOf = base.func('int gguf_get_tensor_type(void *context, int64_t id)');
  const offsetOf = base.func('size_t gguf_get_tensor_offset(void *context, int64_t id)');
  const sizeOf = base.func('size_t gguf_get_tensor_size(void *context, int64_t id)');
  const neOf = base.func('const int64_t *gguf_get_tensor_ne(void *context, int64_t id)');
  const typeNames = new Map(Object.entries(GGML_TYPES).map(([name, { id }]) => [id as number, name as GgmlType]));

  return {
    quantize(from, to, { fileType, threads = 1, importance }) {
      const entries = [...(importance ?? [])].map(([name, data]) => ({ name, data, size: data.length }));
      const list = koffi.alloc(Importance, entries.length + 1);
      koffi.encode(list, koffi.array(Importance, entries.length + 1), [
        ...entries,
        { name: null, data: null, size: 0 },
      ]);
      const params = { ...defaults(), nthread: threads, ftype: fileType, imatrix: importance ? list : null };
      if (quantize(from, to, params) !== 0) throw new Error(`llama.cpp did not quantise ${from} to type ${fileType}`);
    },
    tensors(file) {
      const context = init(file, { no_alloc: true, ctx: null });
      if (!context) throw new Error(`ggml did not read ${file}`);
      const start = Number(dataOffset(context));
      const tensors = new Map<string, OracleTensor>();
      for (let id = 0; id < Number(count(context)); id++) {
        const begin = start + Number(offsetOf(context, id));
        const ne = Array.from(koffi.decode(neOf(context, id), koffi.array('int64_t', 4)) as ArrayLike<bigint>, Number);
        while (ne.length > 1 && ne[ne.length - 1] === 1) ne.pop();
        const type = typeNames.get(typeOf(context, id));
        if (!type) throw new Error(`${file}: ${nameOf(context, id)} has type ${typeOf(context, id)}`);
        tensors.set(nameOf(context, id), { type, ne, begin, end: begin + Number(sizeOf(context, id)) });
      }
      free(context);
      return tensors;
    },
  };
}
