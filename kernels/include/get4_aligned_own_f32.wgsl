// The addend is what y holds.
fn {{name}}_get4(at: u32, count: u32) -> vec4f {
  return y[at / 4u];
}
