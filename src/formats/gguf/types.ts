/** Element types of tensors in GGUF files: their number in ggml (`enum ggml_type`), and bytes of a block of so many elements. */
export const GGML_TYPES = {
  f32: { id: 0, block: 1, bytes: 4 },
  f16: { id: 1, block: 1, bytes: 2 },
  bf16: { id: 30, block: 1, bytes: 2 },
  q4_0: { id: 2, block: 32, bytes: 18 },
  q4_1: { id: 3, block: 32, bytes: 20 },
  q5_0: { id: 6, block: 32, bytes: 22 },
  q5_1: { id: 7, block: 32, bytes: 24 },
  q8_0: { id: 8, block: 32, bytes: 34 },
  q2_k: { id: 10, block: 256, bytes: 84 },
  q3_k: { id: 11, block: 256, bytes: 110 },
  q4_k: { id: 12, block: 256, bytes: 144 },
  q5_k: { id: 13, block: 256, bytes: 176 },
  q6_k: { id: 14, block: 256, bytes: 210 },
  iq4_nl: { id: 20, block: 32, bytes: 18 },
  iq4_xs: { id: 23, block: 256, bytes: 136 },
} as const;

export type GgmlType = keyof typeof GGML_TYPES;

/** Bytes of a tensor in a type; its rows must be whole numbers of blocks. */
export function ggmlBytes(type: GgmlType, elements: number): number {
  const { block, bytes } = GGML_TYPES[type];
  return (elements / block) * bytes;
}
