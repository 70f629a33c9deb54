import { f16BitsToF32, f32ToF16Bits } from '../../tensor/half.ts';

/** How rows of one block type are written and read. Layouts: ggml-common.h of llama.cpp. */
export interface BlockFormat {
  /**
   * @param values rows one after another
   * @param out filled with their blocks
   * @param width values of a row, a whole number of blocks
   * @param importance one weight a column, or null; formats without a search ignore it
   */
  quantize(values: Float32Array, out: Uint8Array, width: number, importance: Float32Array | null): void;
  dequantize(bytes: Uint8Array, out: Float32Array): void;
}

/** Writes a scale as f16 and returns what it reads back as. */
export function putScale(out: Uint8Array, at: number, scale: number): number {
  const bits = f32ToF16Bits(scale);
  out[at] = bits;
  out[at + 1] = bits >>> 8;
  return f16BitsToF32(bits);
}

export function getScale(bytes: Uint8Array, at: number): number {
  return f16BitsToF32(bytes[at] | (bytes[at + 1] << 8));
}
