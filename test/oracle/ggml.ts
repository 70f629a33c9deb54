import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { complain } from '../../src/errors.ts';
import { GGML_TYPES, type GgmlType } from '../../src/formats/gguf/types.ts';

const require = createRequire(import.meta.url);
const NAME = `@node-llama-cpp/${process.platform === 'darwin' ? 'mac' : process.platform === 'win32' ? 'win' : 'linux'}-${process.arch}`;

/** Folder of the compiled llama.cpp inside node-llama-cpp's package, or null where it is not installed. */
export function libraries(): string | null {
  try {
    const bins = path.join(path.dirname(require.resolve(NAME)), '..', 'bins');
    const [folder] = readdirSync(bins);
    return existsSync(path.join(bins, folder)) ? path.join(bins, folder) : null;
  } catch {
    return null;
  }
}

const folder = libraries();

/** Empty where llama.cpp is installed; else why tests against it are skipped. */
export const skipReason = folder ? '' : ` (skipped: ${NAME} is not installed)`;

export interface Ggml {
  /** Bytes of rows; `importance` is one weight a column, for the types that use it. */
  quantize(type: GgmlType, values: Float32Array, width: number, importance?: Float32Array): Uint8Array;
  dequantize(type: GgmlType, bytes: Uint8Array, count: number): Float32Array;
}

/**
 * Functions of the real ggml, called through its C interface.
 *
 * @throws UserError where it is not installed
 */
export async function openGgml(): Promise<Ggml> {
  if (!folder)
    throw complain({
      where: 'ggml',
      got: `no package ${NAME}`,
      expected: 'it to be installed',
      remedy: 'run `npm ci` with optional dependencies',
    });
  const { default: koffi } = await import('koffi');
  const file = readdirSync(folder).find((name) => /^(lib)?ggml-base\.(so|dylib|dll)$/.test(name));
  const library = koffi.load(path.join(folder, file as string));
  const rowSize = library.func('size_t ggml_row_size(int type, int64_t ne)');
  const chunk = library.func(
    'size_t ggml_quantize_chunk(int type, const void *src, void *dst, int64_t start, int64_t nrows, int64_t n_per_row, const void *imatrix)',
  );
  return {
    quantize(type, values, width, importance) {
      const { id } = GGML_TYPES[type];
      const rows = values.length / width;
      const out = new Uint8Array(Number(rowSize(id, width)) * rows);
      const written = Number(chunk(id, values, out, 0, rows, width, importance ?? null));
      if (written !== out.length) throw new Error(`ggml wrote ${written} bytes, expected ${out.length}`);
      return out;
    },
    dequantize(type, bytes, count) {
      const halves: Partial<Record<GgmlType, string>> = { f16: 'ggml_fp16_to_fp32_row', bf16: 'ggml_bf16_to_fp32_row' };
      const name = halves[type] ?? `dequantize_row_${type.replace('_k', '_K')}`;
      const out = new Float32Array(count);
      library.func(`void ${name}(const void *x, void *y, int64_t k)`)(bytes, out, count);
      return out;
    },
  };
}
