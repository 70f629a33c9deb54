import { UserError } from '../errors.ts';
import { bytesOf } from '../tensor/dtype.ts';
import { fromHalf, toHalf } from '../tensor/half.ts';
import type { SafetensorsDtype } from './safetensors-header.ts';

/** Element bytes of a file as f32 numbers. */
export function toFloat32(bytes: Uint8Array, dtype: SafetensorsDtype, name: string): Float32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, byteLength / 4);
    case 'F16':
      return fromHalf(new Uint16Array(buffer, byteOffset, byteLength / 2));
    case 'BF16':
      return fromBfloat16(new Uint16Array(buffer, byteOffset, byteLength / 2));
    case 'F64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, byteLength / 8));
    default:
      throw new UserError(`${name}: has dtype ${dtype}, expected F32, F16, BF16 or F64; convert the checkpoint`);
  }
}

/** f32 numbers as the element bytes of a file; rounds to nearest even. */
export function fromFloat32(values: Float32Array, dtype: 'F32' | 'F16' | 'BF16'): Uint8Array {
  if (dtype === 'F32') return bytesOf(values);
  return bytesOf(dtype === 'F16' ? toHalf(values) : toBfloat16(values));
}

/** bfloat16 is the upper half of an f32. */
export function fromBfloat16(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
  return new Float32Array(bits.buffer);
}

export function toBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const nan = (bits[i] & 0x7fffffff) > 0x7f800000;
    out[i] = nan ? (bits[i] >>> 16) | 0x40 : (bits[i] + 0x7fff + ((bits[i] >>> 16) & 1)) >>> 16;
  }
  return out;
}
