// Arithmetic that gives the same bits on every device.
//
// WGSL lets a compiler fuse a*b + c into one rounding and lets a division be wrong in its last two bits. Where a stored
// byte hangs on the last bit, these two functions take that freedom away.

// Hides from the compiler where x came from, so that it cannot fuse the product x with a following addition.
// `zero` has to be 0, from a uniform: something that the compiler cannot know.
fn apart(x: f32, zero: u32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ zero);
}

// |x| as bits that order like the number; subnormals become zero, as CUDA's fast math and most GPUs treat them.
fn magnitude_bits(x: f32) -> u32 {
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  return select(bits, 0u, bits < 0x00800000u);
}

// 1/x rounded to nearest, for the bits of a positive normal x: long division of 2^47 by the 24-bit mantissa.
// A result below the normal range is 0, like CUDA's `rcp.approx.ftz`; so is 1/infinity and 1/NaN.
fn exact_reciprocal(bits: u32) -> f32 {
  let exponent = bits >> 23u;
  let mantissa = (bits & 0x7fffffu) | 0x800000u;
  if (mantissa == 0x800000u) {
    return bitcast<f32>(select((254u - min(exponent, 254u)) << 23u, 0u, exponent > 253u));
  }
  if (exponent > 252u) {
    return 0.0;
  }
  var rest = 0x800000u;
  var quotient = 0u;
  for (var i = 0u; i < 24u; i++) {
    rest <<= 1u;
    quotient <<= 1u;
    if (rest >= mantissa) {
      rest -= mantissa;
      quotient |= 1u;
    }
  }
  // No tie is possible: an odd divisor of a power of two is 1.
  quotient += select(0u, 1u, 2u * rest > mantissa);
  return bitcast<f32>(((253u - exponent) << 23u) + (quotient - 0x800000u));
}
