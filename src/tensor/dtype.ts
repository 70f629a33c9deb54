/** Element types that live in GPU buffers. `f16` is stored as packed pairs, so it needs no `shader-f16`. */
export type DType = 'f32' | 'f16' | 'i32' | 'u32' | 'u8';

/** Bytes of one element. */
export const BYTES: Readonly<Record<DType, number>> = { f32: 4, f16: 2, i32: 4, u32: 4, u8: 1 };

/** The typed array that holds a dtype on the host; f16 is carried as its bits. */
export interface HostArray {
  f32: Float32Array;
  f16: Uint16Array;
  i32: Int32Array;
  u32: Uint32Array;
  u8: Uint8Array;
}

/** The bytes of a typed array, in its own memory. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView<ArrayBufferLike>): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Whole words, as copies between buffers want them. */
export function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

/** Bytes of a buffer for `count` elements: WebGPU copies and storage bindings want multiples of 4. */
export function byteLength(dtype: DType, count: number): number {
  return Math.max(4, padded(count * BYTES[dtype]));
}
