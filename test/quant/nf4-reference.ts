import { dynamicMap } from '../../src/quant/dynamic-map.ts';
import { bisectCode } from '../../src/quant/nearest-code.ts';
import { NF4_CODES } from '../../src/quant/nf4-codes.ts';
import { cudaMeanReference } from './mean-reference.ts';

const f32 = Math.fround;
const MIDPOINTS = Array.from({ length: 15 }, (_, i) => f32(f32(NF4_CODES[i] + NF4_CODES[i + 1]) / 2));
const LEAST_NORMAL = 2 ** -126;

/** Subnormals count as zero. */
const flush = (x: number) => (Math.abs(x) < LEAST_NORMAL ? 0 : x);

/** NF4 in plain loops: what quantizeNf4 has to give, byte for byte. */
export function nf4Reference(values: Float32Array, blocksize: number) {
  const blocks = Math.ceil(values.length / blocksize);
  const absmax = new Float32Array(blocks);
  const codes = new Uint8Array(Math.ceil(values.length / 2) * 2);
  for (let block = 0; block < blocks; block++) {
    const end = Math.min(values.length, (block + 1) * blocksize);
    let most = 0;
    for (let i = block * blocksize; i < end; i++) {
      const size = Math.abs(flush(values[i]));
      if (!(size <= most)) most = Number.isNaN(most) ? most : size;
    }
    absmax[block] = most;
    const scale = flush(f32(1 / most));
    for (let i = block * blocksize; i < Math.min(codes.length, (block + 1) * blocksize); i++) {
      const scaled = f32(flush(values[i] ?? 0) * scale); // NaN for 0·∞, which is above no midpoint
      codes[i] = MIDPOINTS.filter((middle) => scaled > middle).length;
    }
  }
  const packed = Uint8Array.from({ length: codes.length / 2 }, (_, i) => codes[2 * i] * 16 + codes[2 * i + 1]);
  return { packed, absmax };
}

/** Second level: scales to 8 bits in blocks of 256 around their mean. */
export function nestedReference(scales: Float32Array) {
  const map = dynamicMap(true);
  const offset = cudaMeanReference(scales);
  const absmax2 = new Float32Array(Math.ceil(scales.length / 256));
  const codes = new Uint8Array(scales.length);
  for (let block = 0; block < absmax2.length; block++) {
    const differences = scales.subarray(256 * block, 256 * (block + 1)).map((scale) => scale - offset);
    absmax2[block] = differences.reduce((most, d) => Math.max(most, Math.abs(d)), 0);
    const scale = f32(1 / absmax2[block]);
    for (const [i, d] of differences.entries())
      codes[256 * block + i] = absmax2[block] === 0 ? 0 : bisectCode(map, f32(d * scale), null);
  }
  return { codes, absmax2, offset };
}

/** f32(code · scale), with the scale from both levels when they are nested. */
export function dequantized(packed: Uint8Array, scales: Float32Array, count: number, blocksize: number) {
  return Float32Array.from({ length: count }, (_, i) => {
    const code = (packed[i >> 1] >> (i % 2 ? 0 : 4)) & 15;
    return NF4_CODES[code] * scales[Math.floor(i / blocksize)];
  });
}
