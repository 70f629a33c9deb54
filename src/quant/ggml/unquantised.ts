import { fromBfloat16, toBfloat16 } from '../../formats/elements.ts';
import { bytesOf } from '../../tensor/dtype.ts';
import { fromHalf, toHalf } from '../../tensor/half.ts';
import type { BlockFormat } from './format.ts';

/** F32: the numbers themselves. */
export const f32: BlockFormat = {
  quantize: (values, out) => out.set(bytesOf(values)),
  dequantize: (bytes, out) => bytesOf(out).set(bytes),
};

/** F16, rounded to nearest even; overflow gives infinity. */
export const f16: BlockFormat = {
  quantize: (values, out) => out.set(bytesOf(toHalf(values))),
  dequantize: (bytes, out) => out.set(fromHalf(halvesOf(bytes))),
};

/** BF16, the upper half of an f32, rounded to nearest even. */
export const bf16: BlockFormat = {
  quantize: (values, out) => out.set(bytesOf(toBfloat16(values))),
  dequantize: (bytes, out) => out.set(fromBfloat16(halvesOf(bytes))),
};

/** Copies, since the bytes of a file may begin at an odd address. */
function halvesOf(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.slice().buffer);
}
