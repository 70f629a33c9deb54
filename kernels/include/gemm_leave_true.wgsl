// For gemm_matrix.wgsl: a workgroup that shares its tile leaves its sums as they are.
  if (shared_tile) {
    let left_at = (group.z * (p.rows * p.columns - p.whole) * p.splits + piece) * TM * TN / 4u;
#unroll i in 0..{{FM}}
#unroll j in 0..{{FN}}
    parts_store(left_at + (sub_row + i * 16u) * (TN / 4u) + (sub_column + j * 16u) / 4u, TN / 4u, sums[i][j]);
#end
#end
    return;
  }
