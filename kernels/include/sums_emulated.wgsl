// As sums_matrix.wgsl.
fn {{name}}_sums(at: u32, stride: u32) -> Sums {
  let first = at + fragment_row * stride + fragment_half * 2u;
  return Sums(bitcast<vec4f>({{name}}[first]), bitcast<vec4f>({{name}}[first + 1u]));
}

fn {{name}}_store(at: u32, stride: u32, sums: Sums) {
  let first = at + fragment_row * stride + fragment_half * 2u;
  {{name}}[first] = bitcast<vec4u>(sums.low);
  {{name}}[first + 1u] = bitcast<vec4u>(sums.high);
}
