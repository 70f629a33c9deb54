// For gemm_matrix.wgsl: the product of a rider of one tile; of workgroups that share a depth the first adds it, the others add
// zeros: a condition around all this would make the loop after it slower.
{
  let rider_start = 0u;
  let rider_last = 1u;
  let rider_depth = select(0u, p.rider, split == 0u);
#include "include/gemm_begin.wgsl" with a=rider_a, b=rider_b, depth=rider_depth, a_start=rider_start, b_start=rider_start, first=rider_start, last=rider_last, a_unit=R_UNIT, b_unit=R_UNIT, panels=false, edges=ragged
  workgroupBarrier();
#include "include/gemm_store.wgsl" with tiles=tiles
  workgroupBarrier();
#include "include/gemm_multiply.wgsl" with steps={{R_STEPS}}
}
