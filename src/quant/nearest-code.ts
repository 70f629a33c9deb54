/**
 * How bitsandbytes' CUDA kernels find the code for x in [-1, 1]: bisect to the last pivot, then choose between it
 * and its neighbour on the other side of x by the midpoint of the two, in f32. Exact midpoints go to the pivot.
 *
 * @param map 256 ascending values
 * @param lowest what stands for the value below the first pivot: -1, or 0 for unsigned maps; null takes map[0]
 */
export function bisectCode(map: Float32Array, x: number, lowest: number | null): number {
  let pivot = 127;
  let [lower, upper] = [0, 255];
  for (let step = 64; step > 0; step >>= 1) {
    if (x > map[pivot]) {
      lower = pivot;
      pivot += step;
    } else {
      upper = pivot;
      pivot -= step;
    }
  }
  const value = map[pivot];
  if (x > value) {
    const middle = Math.fround(Math.fround((upper === 255 ? 1 : map[upper]) + value) * 0.5);
    return x > middle ? upper : pivot;
  }
  const below = lower === 0 && lowest !== null ? lowest : map[lower];
  const middle = Math.fround(Math.fround(below + value) * 0.5);
  return x < middle ? lower : pivot;
}

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** The n-th f32 in ascending order, counted from -0 = 0 upwards and -2^-149 = -1 downwards. */
function floatAt(order: number): number {
  bits[0] = order >= 0 ? order : (0x80000000 | (-order - 1)) >>> 0;
  return float[0];
}

function orderOf(x: number): number {
  float[0] = x;
  return bits[0] < 0x80000000 ? bits[0] : -(bits[0] & 0x7fffffff) - 1;
}

/**
 * {@link bisectCode} as a table for kernels: element k is the least f32 whose code is at least k.
 *
 * The search rises with x, so 255 limits say all there is to say about it, and a kernel that only compares with them
 * gives the same codes on every device.
 */
export function codeLimits(map: Float32Array, lowest: number | null): Float32Array {
  const limits = new Float32Array(256);
  limits[0] = -2;
  for (let code = 1; code < 256; code++) {
    let [low, high] = [orderOf(-2), orderOf(2)];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (bisectCode(map, floatAt(middle), lowest) >= code) high = middle;
      else low = middle;
    }
    limits[code] = floatAt(high);
  }
  return limits;
}
