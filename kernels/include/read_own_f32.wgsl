// The addend is what y holds.
fn {{name}}_at(i: u32) -> f32 {
  return y[i];
}
