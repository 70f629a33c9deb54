/** Numbers of query heads and of key-value heads. */
interface Heads {
  num_attention_heads: number;
  num_key_value_heads: number;
}

type Rows = Float32Array | Uint8Array;

/** Heads of a projection whose rows GGUF has in another order than Hugging Face: q_proj or k_proj; 0 for all others. */
export function reorderedHeads(name: string, { num_attention_heads, num_key_value_heads }: Heads): number {
  if (/\bq_proj\b/.test(name)) return num_attention_heads;
  return /\bk_proj\b/.test(name) ? num_key_value_heads : 0;
}

/**
 * Reorders the rows of each head from Hugging Face's halves to llama.cpp's neighbouring pairs, so that its rotary
 * embedding, which turns neighbours, turns the same pairs.
 *
 * @param values [rows, width], as numbers or as the bytes of any numbers
 */
export function interleaveHeads<T extends Rows>(values: T, heads: number, rows: number): T {
  return reorder(values, rows, (row) => halvesRow(row, rows / heads), false);
}

/** The inverse of {@link interleaveHeads}: from llama.cpp's pairs to Hugging Face's halves. */
export function separateHeads<T extends Rows>(values: T, heads: number, rows: number): T {
  return reorder(values, rows, (row) => halvesRow(row, rows / heads), true);
}

/** Where row `row` of the pairs lies in the halves; `size` rows a head. */
function halvesRow(row: number, size: number): number {
  const at = row % size;
  return row - at + (at % 2) * (size / 2) + Math.floor(at / 2);
}

/** Rows `place(i)` of `values` as rows i, or the other way round. */
function reorder<T extends Rows>(values: T, rows: number, place: (row: number) => number, inverse: boolean): T {
  const width = values.length / rows;
  const out = values.slice() as T;
  for (let i = 0; i < rows; i++) {
    const [from, to] = inverse ? [i, place(i)] : [place(i), i];
    out.set(values.subarray(from * width, (from + 1) * width), to * width);
  }
  return out;
}
