// For gemm_matrix.wgsl: the product of a rider deeper than a tile; of workgroups that share a depth the first adds it.
{
  let rider_start = 0u;
  let rider_last = select(0u, (p.rider + DEPTH - 1u) / DEPTH, split == 0u);
#include "include/gemm_begin.wgsl" with a=rider_a, b=rider_b, depth=p.rider, a_start=rider_start, b_start=rider_start, first=rider_start, last=rider_last, a_unit=R_UNIT, b_unit=R_UNIT, panels=false, edges=ragged
#include "include/gemm_loop.wgsl" with a=rider_a, b=rider_b, depth=p.rider, first=rider_start, last=rider_last, panels=false, edges=ragged
}
