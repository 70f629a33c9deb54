import { fromBfloat16, toFloat32 } from '../../formats/elements.ts';
import type { SafetensorsDtype } from '../../formats/safetensors-header.ts';
import { fromHalf } from '../../tensor/half.ts';

/** Largest magnitude bits of an f32 that f16 still holds, and the first that it holds with all of its precision. */
const OVERFLOW = 0x477ff000;
const NORMAL = 0x38800000;
const NAN = 0x7f800001;

/**
 * Element bytes of a file as f32 numbers that f16 can hold, rounded to nearest even; too large ones become infinite.
 *
 * The many values of 16-bit sources are looked up: there are only 65,536 of them.
 */
export function roundToHalf(bytes: Uint8Array, dtype: SafetensorsDtype, name: string): Float32Array {
  if (dtype !== 'BF16' && dtype !== 'F16') return roundInPlace(toFloat32(bytes, dtype, name).slice());
  const table = tableOf(dtype);
  const codes = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const out = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) out[i] = table[codes[i]];
  return out;
}

const tables: { BF16?: Float32Array; F16?: Float32Array } = {};

function tableOf(dtype: 'BF16' | 'F16'): Float32Array {
  const existing = tables[dtype];
  if (existing) return existing;
  const codes = Uint16Array.from({ length: 65_536 }, (_, code) => code);
  const table = dtype === 'F16' ? fromHalf(codes) : roundInPlace(fromBfloat16(codes));
  tables[dtype] = table;
  return table;
}

/** Works on the bits: below 2^-14 f16 has a fixed step of 2^-24, which is that of f32 next to one half. */
function roundInPlace(values: Float32Array): Float32Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    const sign = bits[i] & 0x80000000;
    const magnitude = bits[i] & 0x7fffffff;
    if (magnitude >= NORMAL) {
      if (magnitude >= NAN) continue;
      if (magnitude >= OVERFLOW) bits[i] = sign | 0x7f800000;
      else bits[i] = sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1)) & ~0x1fff);
    } else {
      values[i] = Math.fround(Math.abs(values[i]) + 0.5) - 0.5;
      bits[i] |= sign;
    }
  }
  return values;
}
