const LARGEST_SQUARE = 0x4f7fc004u; // of 65504 as f32; bits of magnitudes order like the numbers, NaN above all.

// f32 pair to packed f16 pair. WGSL leaves values beyond the f16 range undefined; training needs them as infinity,
// so that the finite check of loss scaling sees an overflow.
fn pack_half(v: vec2f) -> u32 {
  let bits = pack2x16float(clamp(v, vec2f(-65504.0), vec2f(65504.0)));
  var packed = bits;
  // The f32 bits decide (a shader compiler may assume that no NaN exists): 65520 and above round to infinity.
  let magnitude = bitcast<vec2u>(v) & vec2u(0x7fffffffu);
  let sign = (bitcast<vec2u>(v) >> vec2u(16u)) & vec2u(0x8000u);
  if (magnitude.x >= 0x477ff000u) {
    packed = (packed & 0xffff0000u) | sign.x | select(0x7c00u, 0x7e00u, magnitude.x > 0x7f800000u);
  }
  if (magnitude.y >= 0x477ff000u) {
    packed = (packed & 0xffffu) | ((sign.y | select(0x7c00u, 0x7e00u, magnitude.y > 0x7f800000u)) << 16u);
  }
  return packed;
}

// The same of four and of eight values, with one condition for all: hardly any are out of range.
fn pack_quad(v: vec4f) -> vec2u {
  if (exceed_halves(v * v)) {
    return vec2u(pack_half(v.xy), pack_half(v.zw));
  }
  return pack_small_quad(v);
}

fn pack_eight(low: vec4f, high: vec4f) -> vec4u {
  if (exceed_halves(with_squares(low * low, high))) {
    return vec4u(pack_half(low.xy), pack_half(low.zw), pack_half(high.xy), pack_half(high.zw));
  }
  return pack_small(low, high);
}

// The same for values that are in the range of f16, or where it does to have for all others what drivers make of them:
// infinities and NaN, which WGSL does not promise (test/autograd/attention-matrix.test.ts asks the driver at hand).
fn pack_small(low: vec4f, high: vec4f) -> vec4u {
  return vec4u(pack_small_quad(low), pack_small_quad(high));
}

fn pack_small_quad(v: vec4f) -> vec2u {
  return vec2u(pack2x16float(v.xy), pack2x16float(v.zw));
}

// Whether values whose squares were added up may exceed f16 or not be finite.
fn exceed_halves(squares: vec4f) -> bool {
  let sum = (squares.x + squares.y) + (squares.z + squares.w);
  return (bitcast<u32>(sum) & 0x7fffffffu) > LARGEST_SQUARE;
}

fn with_squares(squares: vec4f, v: vec4f) -> vec4f {
  return fma(v, v, squares);
}
