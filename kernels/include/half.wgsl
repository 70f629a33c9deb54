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
