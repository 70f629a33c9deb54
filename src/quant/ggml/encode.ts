import { complain } from '../../errors.ts';
import { toFloat32 } from '../../formats/elements.ts';
import { interleaveHeads } from '../../formats/gguf/heads.ts';
import type { GgmlType } from '../../formats/gguf/types.ts';
import { SAFETENSORS_BYTES, type SafetensorsDtype } from '../../formats/safetensors-header.ts';
import { quantizeGgml } from './quantize.ts';
import { roundToHalf } from './round-to-half.ts';

/** Whole rows of a matrix, to be written in other types. */
export interface EncodeJob {
  /** The tensor, for errors. */
  name: string;
  /** Rows one after another as the source has them, little-endian. */
  bytes: Uint8Array;
  dtype: SafetensorsDtype;
  /** Elements of a row. */
  width: number;
  /** Rows of a head whose two halves are to be interleaved; 0 keeps the order. */
  headRows: number;
  types: readonly GgmlType[];
  /** How much each column matters, for the quantisers that can use it. */
  importance: Float32Array | null;
}

/**
 * Rows in the asked types, one result for each.
 *
 * f32 and bf16 are rounded from the source. All others see the values rounded to f16 first, because that is what
 * llama.cpp's quantiser sees, whose input is an f16 file: the bytes are the same.
 *
 * @param job its rows must be whole heads where they are interleaved
 * @throws UserError for values that f16 cannot hold, where it is needed
 */
export function encodeRows({ name, bytes, dtype, width, headRows, types, importance }: EncodeJob): Uint8Array[] {
  const count = bytes.length / (width * SAFETENSORS_BYTES[dtype]);
  const rows = headRows === 0 ? bytes : interleaveHeads(bytes, count / headRows, count);
  const exact = types.some(isWide) ? toFloat32(rows, dtype, name) : null;
  const rounded = types.every(isWide) ? null : roundToHalf(rows, dtype, name);
  if (rounded) checkFinite(rounded, name);
  return types.map((type) =>
    quantizeGgml(type, (isWide(type) ? exact : rounded) as Float32Array, width, importance ?? undefined),
  );
}

/** Types with the exponents of f32. */
const isWide = (type: GgmlType) => type === 'f32' || type === 'bf16';

function checkFinite(values: Float32Array, name: string): void {
  // Zero times anything finite is zero; once the sum is NaN it stays so.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * 0;
  if (sum === 0) return;
  throw complain({
    where: name,
    got: 'a value that is NaN or beyond 65504, the largest of f16',
    expected: 'weights within the range of f16, which llama.cpp quantises from',
    remedy: 'write bf16 or f32, or check the weights',
  });
}
