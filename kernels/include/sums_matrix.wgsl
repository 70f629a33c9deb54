// Fragments of sums in the array<vec4f> {{name}} in workgroup memory; places as in left_halves_matrix.wgsl.
fn {{name}}_sums(at: u32, stride: u32) -> Sums {
  return subgroupMatrixLoad<Sums, row_major>(&{{name}}, at, stride);
}

fn {{name}}_store(at: u32, stride: u32, sums: Sums) {
  subgroupMatrixStore<row_major>(&{{name}}, at, sums, stride);
}
