// Right fragments in the array<vec4u> {{name}} in workgroup memory; places as in left_halves_matrix.wgsl.
fn {{name}}_right(at: u32, stride: u32) -> Right {
  return subgroupMatrixLoad<Right, row_major>(&{{name}}, at, stride);
}

fn {{name}}_right_transposed(at: u32, stride: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(&{{name}}, at, stride);
}
