import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);
const NAME = `@node-llama-cpp/${process.platform === 'darwin' ? 'mac' : process.platform === 'win32' ? 'win' : 'linux'}-${process.arch}`;

/** Folder of the compiled llama.cpp inside node-llama-cpp's package. */
export function librariesFolder(): string {
  if (!folder) throw new Error(`llama.cpp: ${NAME} is not installed`);
  return folder;
}

function libraries(): string | null {
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

/** ggml's numbers of block types (enum ggml_type). */
export const GGML_TYPE = { q8_0: 8 } as const;

/** Functions of the real ggml, called through its C interface. */
export async function openGgml(): Promise<{
  quantize(type: keyof typeof GGML_TYPE, values: Float32Array, width: number): Uint8Array;
}> {
  if (!folder) throw new Error(`ggml: ${NAME} is not installed`);
  const { default: koffi } = await import('koffi');
  const file = readdirSync(folder).find((name) => /^(lib)?ggml-base\.(so|dylib|dll)$/.test(name));
  const library = koffi.load(path.join(folder, file as string));
  const rowSize = library.func('size_t ggml_row_size(int type, int64_t ne)');
  const chunk = library.func(
    'size_t ggml_quantize_chunk(int type, const void *src, void *dst, int64_t start, int64_t nrows, int64_t n_per_row, const void *imatrix)',
  );
  return {
    quantize(type, values, width) {
      const id = GGML_TYPE[type];
      const rows = values.length / width;
      const out = new Uint8Array(Number(rowSize(id, width)) * rows);
      const written = Number(chunk(id, values, out, 0, rows, width, null));
      if (written !== out.length) throw new Error(`ggml wrote ${written} bytes, expected ${out.length}`);
      return out;
    },
  };
}
