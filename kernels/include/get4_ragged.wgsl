// Elements from `at` on, of which the first `count` are in the row, the others zero.
fn {{name}}_get4(at: u32, count: u32) -> vec4f {
  var four: vec4f;
  for (var i = 0u; i < 4u; i++) {
    if (i < count) {
      four[i] = {{name}}_at(at + i);
    }
  }
  return four;
}
