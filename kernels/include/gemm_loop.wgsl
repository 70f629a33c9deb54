// For gemm_matrix.wgsl: adds to `sums` what tiles first … last − 1 of the depth of one product give.
//
// {{edges}}: `whole` if the depth is a multiple of a tile's, else `ragged`. {{panels}}: b lies in storage in panels, zeros beyond the depth.
// {{a_unit}}, {{b_unit}}: elements that places in storage are counted in.
{
#array a_next: vec4u, {{A_PASSES}}
#array b_next: vec4u, {{B_PASSES}}
  // Where each chunk that this invocation carries begins in tile 0, how far apart they are where that is the same for all
  // (it takes fewer registers), and how far the tile at hand is from tile 0.
#array a_base: u32, {{A_PASSES}}
#array b_base: u32, {{B_PASSES}}
#array a_from: u32, {{A_PASSES}}
#array b_from: u32, {{B_PASSES}}
  let a_step = select(DEPTH * p.m, DEPTH, A_INNER == DEPTH) / {{a_unit}};
  let b_step = select(select(DEPTH * p.n, DEPTH, B_INNER == DEPTH), DEPTH * PANEL, {{panels}}) / {{b_unit}};
  let a_turn = select(select(A_ACROSS * 8u, INVOCATIONS / A_ROW * p.m, A_ACROSS == A_ROW), INVOCATIONS / A_ROW * {{depth}}, A_INNER == DEPTH) / {{a_unit}};
  let b_in_rows = select(select(B_ACROSS * 8u, INVOCATIONS / B_ROW * p.n, B_ACROSS == B_ROW), INVOCATIONS / B_ROW * {{depth}}, B_INNER == DEPTH);
  let b_turn = select(b_in_rows, p.tiles * DEPTH * PANEL, {{panels}}) / {{b_unit}};
#unroll c in 0..{{A_PASSES}}
  let at = chunk_in(c, a_at, A_ROW, A_ACROSS);
  let outer = min(row + select(at.y * 8u, at.x, A_INNER == DEPTH), p.m - 1u);
  a_base[c] = ({{a_start}} + select(at.x * p.m + outer, outer * {{depth}} + at.y * 8u, A_INNER == DEPTH)) / {{a_unit}};
#end
#unroll c in 0..{{B_PASSES}}
  let at = chunk_in(c, b_at, B_ROW, B_ACROSS);
  let outer = min(column + select(at.y * 8u, at.x, B_INNER == DEPTH), p.n - 1u);
  let in_rows = {{b_start}} + select(at.x * p.n + outer, outer * {{depth}} + at.y * 8u, B_INNER == DEPTH);
  b_base[c] = select(in_rows, column / PANEL * p.tiles * DEPTH * PANEL + lane * 8u, {{panels}}) / {{b_unit}};
#end
  var a_moved = {{first}} * a_step;
  var b_moved = {{first}} * b_step;
  let a_end = (max({{last}}, 1u) - 1u) * a_step;
  let b_end = (max({{last}}, 1u) - 1u) * b_step;
#include "include/gemm_aim.wgsl" with panels={{panels}}
#include "include/gemm_fetch_{{edges}}.wgsl" with tile={{first}}
  for (var tile = {{first}}; tile < {{last}}; tile++) {
    workgroupBarrier();
    if (A_CHUNKS >= INVOCATIONS || lane < A_CHUNKS) {
#unroll c in 0..{{A_PASSES}}
      let at = chunk_in(c, a_at, A_ROW, A_ACROSS);
      tiles[at.x * A_STRIDE + at.y] = a_next[c];
#end
    }
    if (B_CHUNKS >= INVOCATIONS || lane < B_CHUNKS) {
#unroll c in 0..{{B_PASSES}}
      let at = chunk_in(c, b_at, B_ROW, B_ACROSS);
      tiles[B_TILE + at.x * B_STRIDE + at.y] = b_next[c];
#end
    }
    // After the last tile it is fetched once more, for nothing: a condition would cost more. Addresses are computed while
    // the stores are under way; after the barrier the fragments would wait for them.
    let following = min(tile + 1u, {{last}} - 1u);
    a_moved = min(a_moved + a_step, a_end);
    b_moved = min(b_moved + b_step, b_end);
#include "include/gemm_aim.wgsl" with panels={{panels}}
    workgroupBarrier();
#include "include/gemm_fetch_{{edges}}.wgsl" with tile=following
#unroll step in 0..2
#array left: Left, {{FM}}
#array right: Right, {{FN}}
#unroll i in 0..{{FM}}
    left[i] = tiles_left{{A_DIRECTION}}(select((sub_row + i * 16u) * A_STRIDE + step * 2u, step * 16u * A_STRIDE + (sub_row + i * 16u) / 8u, A_INNER != DEPTH), A_STRIDE);
#end
#unroll j in 0..{{FN}}
    right[j] = tiles_right{{B_DIRECTION}}(B_TILE + select((sub_column + j * 16u) * B_STRIDE + step * 2u, step * 16u * B_STRIDE + (sub_column + j * 16u) / 8u, B_INNER != DEPTH), B_STRIDE);
#end
#unroll i in 0..{{FM}}
#unroll j in 0..{{FN}}
    sums[i][j] = multiply(left[i], right[j], sums[i][j]);
#end
#end
#end
  }
}
