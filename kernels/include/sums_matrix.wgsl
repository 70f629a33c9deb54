// Fragments of sums in the array<vec4u> {{name}} in workgroup memory, as bits: one array for sums and for halves. Places
// as in left_halves_matrix.wgsl, 4 sums an element.
fn {{name}}_sums(at: u32, stride: u32) -> Sums {
  return subgroupMatrixLoad<Sums, row_major>(&{{name}}, at, stride);
}

fn {{name}}_store(at: u32, stride: u32, sums: Sums) {
  subgroupMatrixStore<row_major>(&{{name}}, at, sums, stride);
}
