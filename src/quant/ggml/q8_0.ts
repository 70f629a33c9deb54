import { f16BitsToF32, f32ToF16Bits } from '../../tensor/half.ts';

/** Weights that share a scale. */
const BLOCK = 32;
/** An f16 scale and 32 signed bytes. */
const BYTES = 34;

/**
 * Quantises to ggml's Q8_0, bit for bit as its reference quantiser: scale = largest magnitude / 127, codes rounded half
 * away from zero with the unrounded scale, which is then stored in f16.
 *
 * @param values a multiple of 32
 */
export function quantizeQ8_0(values: Float32Array): Uint8Array {
  const blocks = values.length / BLOCK;
  const out = new Uint8Array(blocks * BYTES);
  const view = new DataView(out.buffer);
  for (let b = 0; b < blocks; b++) {
    let largest = 0;
    for (let i = 0; i < BLOCK; i++) largest = Math.max(largest, Math.abs(values[b * BLOCK + i]));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    view.setUint16(b * BYTES, f32ToF16Bits(scale), true);
    for (let i = 0; i < BLOCK; i++) {
      const x = Math.fround(values[b * BLOCK + i] * inverse);
      view.setInt8(b * BYTES + 2 + i, x < 0 ? -Math.floor(0.5 - x) : Math.floor(x + 0.5));
    }
  }
  return out;
}

/** Codes times scale, as ggml dequantises. */
export function dequantizeQ8_0(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const blocks = bytes.byteLength / BYTES;
  const out = new Float32Array(blocks * BLOCK);
  for (let b = 0; b < blocks; b++) {
    const scale = f16BitsToF32(view.getUint16(b * BYTES, true));
    for (let i = 0; i < BLOCK; i++) out[b * BLOCK + i] = view.getInt8(b * BYTES + 2 + i) * scale;
  }
  return out;
}
