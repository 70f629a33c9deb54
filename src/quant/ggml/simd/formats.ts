import { GGML_TYPES, type GgmlType, ggmlBytes } from '../../../formats/gguf/types.ts';
import type { BlockFormat } from '../format.ts';
import * as direct from './direct.ts';
import { compile } from './kernels.ts';
import { CHUNK, INPUT, memory, OUTPUT } from './memory.ts';

const KERNELS: Partial<Record<GgmlType, direct.DirectKernel>> = {
  f16: direct.f16,
  bf16: direct.bf16,
  q8_0: direct.q8_0,
  q4_0: direct.symmetric(4),
  q5_0: direct.symmetric(5),
  q4_1: direct.affine(4),
  q5_1: direct.affine(5),
};
/** Those of them that importance makes no difference to. */
const WITHOUT_IMPORTANCE: readonly GgmlType[] = ['f16', 'bf16', 'q8_0'];

/** Replaces what formats do without a search by kernels. */
export function withDirectKernels(searching: Record<GgmlType, BlockFormat>): Record<GgmlType, BlockFormat> {
  const formats = { ...searching };
  for (const [type, kernel] of Object.entries(KERNELS) as [GgmlType, direct.DirectKernel][]) {
    const { quantize, dequantize } = searching[type];
    const convert = directly(type, kernel);
    formats[type] = {
      dequantize,
      quantize: (values, out, width, importance) =>
        importance && !WITHOUT_IMPORTANCE.includes(type)
          ? quantize(values, out, width, importance)
          : convert(values, out),
    };
  }
  return formats;
}

function directly(type: GgmlType, build: direct.DirectKernel): (values: Float32Array, out: Uint8Array) => void {
  const input = new Float32Array(memory.buffer, INPUT, CHUNK);
  const output = new Uint8Array(memory.buffer, OUTPUT, ggmlBytes(type, CHUNK));
  let kernel: Record<'convert', (count: number) => void> | undefined;
  return (values, out) => {
    kernel ??= compile({ convert: { parameters: 1, build } });
    for (let at = 0; at < values.length; at += CHUNK) {
      const count = Math.min(CHUNK, values.length - at);
      input.set(count === values.length ? values : values.subarray(at, at + count));
      kernel.convert(count);
      const bytes = ggmlBytes(type, count);
      out.set(
        bytes === output.length ? output : output.subarray(0, bytes),
        (at / GGML_TYPES[type].block) * GGML_TYPES[type].bytes,
      );
    }
  };
}
