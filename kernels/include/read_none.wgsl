// Zeros without a binding.
fn {{name}}_at(i: u32) -> f32 {
  return 0.0;
}
