// 16 × 16 fragments of matrices in the matrix units' registers, shared by the 32 invocations of a subgroup: operands
// in f16, sums in f32. fragments_emulated.wgsl is the sibling without matrix units, left_halves_*.wgsl,
// right_halves_*.wgsl and sums_*.wgsl load and store fragments. Include it first: WGSL wants what is enabled before all else.
//
// Subgroup s of a workgroup is taken to be the invocations 32·s … 32·s + 31. All of them must come to every call
// together, but the analysis cannot see this of conditions that are computed from their index.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sums = subgroup_matrix_result<f32, 16, 16>;

// To be called before any other function, with the invocation's index in the workgroup.
fn begin_fragments(invocation: u32) {}

// left · right + sums
fn multiply(left: Left, right: Right, sums: Sums) -> Sums {
  return subgroupMatrixMultiplyAccumulate(left, right, sums);
}
