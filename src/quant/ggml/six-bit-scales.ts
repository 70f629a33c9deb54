/**
 * Eight scales and eight minimums of six bits in twelve bytes, as Q4_K and Q5_K hold them.
 *
 * Bytes 0–3 are scales 0–3, bytes 4–7 minimums 0–3, each with two bits of scale or minimum 4–7 on top; bytes 8–11 hold
 * the low four bits of scales (low half) and minimums (high half) 4–7.
 */
export function putSixBit(out: Uint8Array, at: number, scales: Uint8Array, mins: Uint8Array): void {
  for (let j = 0; j < 4; j++) {
    out[at + j] = scales[j] | ((scales[j + 4] >> 4) << 6);
    out[at + 4 + j] = mins[j] | ((mins[j + 4] >> 4) << 6);
    out[at + 8 + j] = (scales[j + 4] & 15) | ((mins[j + 4] & 15) << 4);
  }
}

/** Scale j of twelve bytes. */
export function sixBitScale(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j] & 63 : (bytes[at + 4 + j] & 15) | ((bytes[at + j - 4] >> 6) << 4);
}

/** Minimum j of twelve bytes. */
export function sixBitMin(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + 4 + j] & 63 : (bytes[at + 4 + j] >> 4) | ((bytes[at + j] >> 6) << 4);
}
