// Left fragments in the array<vec4u> {{name}} in workgroup memory, 8 halves an element. The fragment begins at element
// `at`, its rows are `stride` elements apart; of a transposed one the columns are.
fn {{name}}_left(at: u32, stride: u32) -> Left {
  return subgroupMatrixLoad<Left, row_major>(&{{name}}, at, stride);
}

fn {{name}}_left_transposed(at: u32, stride: u32) -> Left {
  return subgroupMatrixLoad<Left, col_major>(&{{name}}, at, stride);
}
