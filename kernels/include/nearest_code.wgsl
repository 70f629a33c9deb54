// Number of limits 1 … 255 that x reaches: `limits[k]` is the least number whose code is k (limits[0] is unused).
fn nearest_code(limits: ptr<workgroup, array<f32, 256>>, x: f32) -> u32 {
  var code = 0u;
  for (var step = 128u; step > 0u; step /= 2u) {
    code += select(0u, step, x >= (*limits)[code + step]);
  }
  return code;
}
