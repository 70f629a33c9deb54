// As right_halves_matrix.wgsl, for one array in a kernel.
fn right_words(at: u32) -> vec4u {
  return {{name}}[at];
}

fn {{name}}_right(at: u32, stride: u32) -> Right {
  return Right(at, stride, false);
}

fn {{name}}_right_transposed(at: u32, stride: u32) -> Right {
  return Right(at, stride, true);
}
