import { complain } from '../../errors.ts';
import { GGML_TYPES, type GgmlType, ggmlBytes } from '../../formats/gguf/types.ts';
import type { BlockFormat } from './format.ts';
import type { Searches } from './group-search.ts';
import { iq4_nl, iq4_xs } from './iq4.ts';
import { plainSearches } from './plain/searches.ts';
import { q2_k } from './q2_k.ts';
import { q3_k } from './q3_k.ts';
import { q4_k, q5_k } from './q4_k.ts';
import { q4_0, q4_1, q5_0, q5_1 } from './q4_q5.ts';
import { q6_k } from './q6_k.ts';
import { q8_0 } from './q8_0.ts';
import { withDirectKernels } from './simd/formats.ts';
import { hasSimd, simdSearches } from './simd/searches.ts';
import { bf16, f16, f32 } from './unquantised.ts';

/** Every block format, by its name in GGUF files; searches for scales are those given. */
export function blockFormats(searches: Searches): Record<GgmlType, BlockFormat> {
  return {
    f32,
    f16,
    bf16,
    q8_0,
    q4_0: q4_0(searches),
    q4_1: q4_1(searches),
    q5_0: q5_0(searches),
    q5_1: q5_1(searches),
    q2_k: q2_k(searches),
    q3_k: q3_k(searches),
    q4_k: q4_k(searches),
    q5_k: q5_k(searches),
    q6_k: q6_k(searches),
    iq4_nl: iq4_nl(searches),
    iq4_xs: iq4_xs(searches),
  };
}

const FORMATS = hasSimd() ? withDirectKernels(blockFormats(simdSearches)) : blockFormats(plainSearches);

/**
 * Quantises rows to a ggml type; the same bytes as ggml_quantize_chunk of an x86-64 build, whatever this runs on.
 *
 * (Compilers for ARM fuse products and sums, so that ggml's own bytes differ there now and then.)
 *
 * @param values rows × width, row-major
 * @param width values of a row, a whole number of the type's blocks
 * @param importance weight of each column's squared error (an importance matrix's row, length `width`); types without
 *   a search (f32, f16, bf16, q8_0) ignore it
 * @returns the rows' blocks one after another
 * @throws UserError if the sizes do not fit together
 */
export function quantizeGgml(
  type: GgmlType,
  values: Float32Array,
  width: number,
  importance?: Float32Array,
): Uint8Array {
  const { block } = GGML_TYPES[type];
  if (!Number.isInteger(width) || width <= 0 || width % block !== 0)
    throw complain({
      where: `quantise to ${type}`,
      got: `rows of ${width} values`,
      expected: `a positive multiple of ${block}`,
      remedy: 'use a type with smaller blocks for this tensor, such as q8_0 or f16',
    });
  if (values.length % width !== 0)
    throw complain({
      where: `quantise to ${type}`,
      got: `${values.length} values`,
      expected: `whole rows of ${width}`,
      remedy: 'pass rows × width values',
    });
  if (importance && importance.length !== width)
    throw complain({
      where: `quantise to ${type}`,
      got: `${importance.length} importance weights`,
      expected: `${width}, one a column`,
      remedy: 'pass the importance matrix of this tensor',
    });
  const out = new Uint8Array(ggmlBytes(type, values.length));
  FORMATS[type].quantize(values, out, width, importance ?? null);
  return out;
}

/**
 * Widens ggml blocks to f32; the same numbers as ggml's dequantize_row functions.
 *
 * @param count values in the blocks
 * @throws UserError if `bytes` is not exactly `count` values in whole blocks
 */
export function dequantizeGgml(type: GgmlType, bytes: Uint8Array, count: number): Float32Array {
  const { block } = GGML_TYPES[type];
  if (!Number.isInteger(count) || count < 0 || count % block !== 0 || bytes.length !== ggmlBytes(type, count))
    throw complain({
      where: `dequantise ${type}`,
      got: `${bytes.length} bytes for ${count} values`,
      expected: `${GGML_TYPES[type].bytes} bytes for each ${block} values`,
      remedy: 'check the shape and type of the tensor',
    });
  const out = new Float32Array(count);
  FORMATS[type].dequantize(bytes, out);
  return out;
}
