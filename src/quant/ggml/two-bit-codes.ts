/** 256 codes of two bits in 64 bytes, as Q2_K and Q3_K hold them: byte i of half k has codes 128k + i, + 32, + 64, + 96. */
export function putQuarters(out: Uint8Array, to: number, codes: Uint8Array): void {
  for (let k = 0; k < 2; k++)
    for (let i = 0; i < 32; i++) {
      const c = 128 * k + i;
      out[to + 32 * k + i] =
        (codes[c] & 3) | ((codes[c + 32] & 3) << 2) | ((codes[c + 64] & 3) << 4) | ((codes[c + 96] & 3) << 6);
    }
}

export function getQuarters(bytes: Uint8Array, from: number, codes: Uint8Array): void {
  for (let k = 0; k < 2; k++)
    for (let i = 0; i < 32; i++) {
      const byte = bytes[from + 32 * k + i];
      for (let j = 0; j < 4; j++) codes[128 * k + 32 * j + i] = (byte >> (2 * j)) & 3;
    }
}
