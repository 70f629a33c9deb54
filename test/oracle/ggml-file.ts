import { readdirSync } from 'node:fs';
import path from 'node:path';
import { GGML_TYPES, type GgmlType } from '../../src/formats/gguf/types.ts';
import { libraries } from './ggml.ts';

/** Numbers of the value types (enum gguf_type) and the names that ggml's functions have for them. */
const VALUE_TYPES = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;
const C_TYPES = {
  u8: 'uint8_t',
  i8: 'int8_t',
  u16: 'uint16_t',
  i16: 'int16_t',
  u32: 'uint32_t',
  i32: 'int32_t',
  f32: 'float',
  bool: 'bool',
  u64: 'uint64_t',
  i64: 'int64_t',
  f64: 'double',
} as const;

export type ScalarType = keyof typeof VALUE_TYPES;

/** A value for a metadata key; arrays of numbers as the typed array of their type. */
export type OracleValue =
  | { type: ScalarType; value: number | bigint | boolean }
  | { type: 'string'; value: string }
  | { type: 'array'; element: ScalarType; value: ArrayBufferView & { length: number } }
  | { type: 'array'; element: 'string'; value: string[] };

export interface OracleTensor {
  name: string;
  type: GgmlType;
  /** Outermost dimension first. */
  shape: number[];
  values: Float32Array;
}

/** Loaded once: ggml may not be started a second time in a process. */
let loaded: ReturnType<typeof load> | null = null;

async function load() {
  const folder = libraries();
  if (!folder) throw new Error('ggml is not installed');
  const { default: koffi } = await import('koffi');
  const name = readdirSync(folder).find((entry) => /^(lib)?ggml-base\.(so|dylib|dll)$/.test(entry));
  return { koffi, library: koffi.load(path.join(folder, name as string)) };
}

/** Writes a GGUF file with ggml's own writer; tensors are quantised by ggml. */
export async function writeWithGgml(
  file: string,
  metadata: ReadonlyMap<string, OracleValue>,
  tensors: readonly OracleTensor[],
): Promise<void> {
  loaded ??= load();
  const { koffi, library } = await loaded;
  const call = (signature: string, ...values: unknown[]) => library.func(signature)(...values);

  const gguf = call('void *gguf_init_empty()');
  for (const [key, item] of metadata) {
    if (item.type === 'string')
      call('void gguf_set_val_str(void *g, const char *key, const char *v)', gguf, key, item.value);
    else if (item.type !== 'array')
      call(`void gguf_set_val_${item.type}(void *g, const char *key, ${C_TYPES[item.type]} v)`, gguf, key, item.value);
    else if (item.element === 'string')
      call(
        'void gguf_set_arr_str(void *g, const char *key, const char **v, size_t n)',
        gguf,
        key,
        item.value,
        item.value.length,
      );
    else
      call(
        'void gguf_set_arr_data(void *g, const char *key, int type, const void *v, size_t n)',
        gguf,
        key,
        VALUE_TYPES[item.element],
        item.value,
        item.value.length,
      );
  }

  const parameters = koffi.struct({ mem_size: 'size_t', mem_buffer: 'void *', no_alloc: 'bool' });
  const init = library.func('ggml_init', 'void *', [parameters]);
  const context = init({ mem_size: 1 << 24, mem_buffer: null, no_alloc: false });
  for (const { name: tensorName, type, shape, values } of tensors) {
    const { id } = GGML_TYPES[type];
    const sizes = BigInt64Array.from(shape.toReversed(), BigInt);
    const tensor = call(
      'void *ggml_new_tensor(void *c, int type, int rank, const void *ne)',
      context,
      id,
      shape.length,
      sizes,
    );
    call('void *ggml_set_name(void *t, const char *name)', tensor, tensorName);
    const width = shape[shape.length - 1];
    call(
      'size_t ggml_quantize_chunk(int type, const void *src, void *dst, int64_t start, int64_t nrows, int64_t n_per_row, const void *imatrix)',
      id,
      values,
      call('void *ggml_get_data(void *t)', tensor),
      0,
      values.length / width,
      width,
      null,
    );
    call('void gguf_add_tensor(void *g, void *t)', gguf, tensor);
  }
  const written = call('bool gguf_write_to_file(void *g, const char *file, bool only_meta)', gguf, file, false);
  call('void gguf_free(void *g)', gguf);
  call('void ggml_free(void *c)', context);
  if (!written) throw new Error(`ggml could not write ${file}`);
}
