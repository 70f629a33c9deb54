// For gemm_matrix.wgsl: adds to `sums` what tiles first … last − 1 of the depth of a product give that gemm_begin.wgsl began.
  for (var tile = {{first}}; tile < {{last}}; tile++) {
    workgroupBarrier();
#include "include/gemm_store.wgsl" with tiles=tiles
    // After the last tile it is fetched once more, for nothing: a condition would cost more. Addresses are computed while
    // the stores are under way; after the barrier the fragments would wait for them.
    let following = min(tile + 1u, {{last}} - 1u);
    a_moved = min(a_moved + a_step, a_end);
    b_moved = min(b_moved + b_step, b_end);
#include "include/gemm_aim.wgsl" with panels={{panels}}
    workgroupBarrier();
#include "include/gemm_fetch_{{edges}}.wgsl" with tile=following
#include "include/gemm_multiply.wgsl" with steps=2
  }
