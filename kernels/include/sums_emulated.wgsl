// As sums_matrix.wgsl.
fn {{name}}_sums(at: u32, stride: u32) -> Sums {
  let first = at + fragment_row * stride + fragment_half * 2u;
  return Sums(array<vec4f, 2>({{name}}[first], {{name}}[first + 1u]));
}

fn {{name}}_store(at: u32, stride: u32, sums: Sums) {
  let first = at + fragment_row * stride + fragment_half * 2u;
  {{name}}[first] = sums.row[0];
  {{name}}[first + 1u] = sums.row[1];
}
