/**
 * The dynamic 8-bit data type: 256 values in [-1, 1] (or [0, 1]) whose exponent takes a varying number of bits
 * (Dettmers 2015, "8-Bit Approximations for Parallelism in Deep Learning"), with the very bits of bitsandbytes'
 * `create_dynamic_map`.
 *
 * Decade i of seven holds the midpoints of 2^i (unsigned: 2^(i+1)) equal parts of [0.1, 1], scaled by 10^(i-6), with both
 * signs when signed; 0 and 1 complete the set.
 *
 * @returns 256 ascending f32 values
 */
export function dynamicMap(signed: boolean): Float32Array {
  const values = [0, 1];
  for (let decade = 0; decade < 7; decade++) {
    const count = 2 ** (signed ? decade : decade + 1);
    const edges = linspace(Math.fround(0.1), 1, count + 1);
    const scale = Math.fround(10 ** (decade - 6));
    for (let i = 0; i < count; i++) {
      const middle = Math.fround(Math.fround(edges[i] + edges[i + 1]) / 2);
      values.push(Math.fround(scale * middle));
      if (signed) values.push(Math.fround(-scale * middle));
    }
  }
  return Float32Array.from(values).sort();
}

/** Evenly spaced f32 numbers rounded as PyTorch does: from the nearer end, with a fused multiply-add. */
function linspace(start: number, end: number, count: number): Float32Array {
  const step = Math.fround(Math.fround(end - start) / (count - 1));
  return Float32Array.from({ length: count }, (_, i) =>
    i < Math.floor(count / 2) ? start + step * i : end - step * (count - 1 - i),
  );
}
