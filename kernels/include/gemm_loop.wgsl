// For gemm_matrix.wgsl: adds to `sums` what tiles first … last − 1 of the depth of one product give.
//
// {{whole}}: the depth is a multiple of a tile's. {{tiled}}: b lies in storage tile after tile, zeros beyond the depth.
{
  var a_next: array<vec4u, {{A_PASSES}}>;
  var b_next: array<vec4u, {{B_PASSES}}>;
  // Where each chunk that this invocation carries begins in tile 0, how far apart they are where that is the same for all
  // (it takes fewer registers), and how far the tile at hand is from tile 0.
  var a_base: array<u32, {{A_PASSES}}>;
  var b_base: array<u32, {{B_PASSES}}>;
  let a_step = select(DEPTH * p.m, DEPTH, A_INNER == DEPTH);
  let b_step = select(select(DEPTH * p.n, DEPTH, B_INNER == DEPTH), TN * DEPTH, {{tiled}});
  let a_pass = INVOCATIONS / A_ROW * select(p.m, {{depth}}, A_INNER == DEPTH);
  let b_pass = select(INVOCATIONS / B_ROW * select(p.n, {{depth}}, B_INNER == DEPTH), INVOCATIONS * 8u, {{tiled}});
  let i = min(row + a_at.y * 8u, p.m - 1u);
  let j = min(column + b_at.y * 8u, p.n - 1u);
#unroll c in 0..{{A_PASSES}}
  let outer = a_at.x + c * INVOCATIONS / A_ROW;
  a_base[c] = {{a_start}} + select(outer * p.m + i, min(row + outer, p.m - 1u) * {{depth}} + a_at.y * 8u, A_INNER == DEPTH);
#end
#unroll c in 0..{{B_PASSES}}
  let outer = b_at.x + c * INVOCATIONS / B_ROW;
  let in_rows = select(outer * p.n + j, min(column + outer, p.n - 1u) * {{depth}} + b_at.y * 8u, B_INNER == DEPTH);
  b_base[c] = select({{b_start}} + in_rows, column / TN * p.tiles * TN * DEPTH + outer * B_INNER + b_at.y * 8u, {{tiled}});
#end
  var a_moved = {{first}} * a_step;
  var b_moved = {{first}} * b_step;
#include "include/gemm_fetch.wgsl" with tile={{first}}
  for (var tile = {{first}}; tile < {{last}}; tile++) {
    workgroupBarrier();
    if (A_CHUNKS >= INVOCATIONS || lane < A_CHUNKS) {
#unroll c in 0..{{A_PASSES}}
      tiles[(a_at.x + c * INVOCATIONS / A_ROW) * A_STRIDE + a_at.y] = a_next[c];
#end
    }
    if (B_CHUNKS >= INVOCATIONS || lane < B_CHUNKS) {
#unroll c in 0..{{B_PASSES}}
      tiles[B_TILE + (b_at.x + c * INVOCATIONS / B_ROW) * B_STRIDE + b_at.y] = b_next[c];
#end
    }
    workgroupBarrier();
    // After the last tile it is fetched once more, for nothing: a condition would cost more.
    let following = min(tile + 1u, {{last}} - 1u);
    a_moved += select(0u, a_step, following > tile);
    b_moved += select(0u, b_step, following > tile);
#include "include/gemm_fetch.wgsl" with tile=following
#unroll step in 0..2
    var left: array<Left, {{FM}}>;
    var right: array<Right, {{FN}}>;
#unroll i in 0..{{FM}}
    left[i] = tiles_left{{A_DIRECTION}}(select((sub_row + i * 16u) * A_STRIDE + step * 2u, step * 16u * A_STRIDE + (sub_row + i * 16u) / 8u, A_INNER != DEPTH), A_STRIDE);
#end
#unroll j in 0..{{FN}}
    right[j] = tiles_right{{B_DIRECTION}}(B_TILE + select((sub_column + j * 16u) * B_STRIDE + step * 2u, step * 16u * B_STRIDE + (sub_column + j * 16u) / 8u, B_INNER != DEPTH), B_STRIDE);
#end
#unroll i in 0..{{FM}}
#unroll j in 0..{{FN}}
    sums[i * {{FN}}u + j] = multiply(left[i], right[j], sums[i * {{FN}}u + j]);
#end
#end
#end
  }
}
