// For gemm_matrix.wgsl: what it takes to walk along the depth of one product, and the loads of its first tile.
//
// Operands {{a}} and {{b}} begin at element {{a_start}} and {{b_start}} (in panels, which have no batch, at 0), {{depth}}
// deep; tiles {{first}} … {{last}} − 1 along it are taken. {{edges}}: `whole` if the depth is a multiple of a tile's, else `ragged`. {{panels}}: b lies in storage in panels, {{zeros}}:
// with zeros beyond the depth. Of {{a_rows}} and {{a_panels}}, how a lies, one is 1 and the other 0: what is for the other is not in
// the text. {{a_unit}}, {{b_unit}}: elements that places in storage are counted in.
#array a_next: vec4u, {{A_PASSES}}
#array b_next: vec4u, {{B_PASSES}}
  // Where each chunk that this invocation carries begins in tile 0, how far apart they are where that is the same for all
  // (it takes fewer registers), and how far the tile at hand is from tile 0.
#array a_base: u32, {{A_PASSES}}
#array b_base: u32, {{B_PASSES}}
#array a_from: u32, {{A_PASSES}}
#array b_from: u32, {{B_PASSES}}
#for in_rows in 0..{{a_rows}}
  let a_step = select(DEPTH * p.m, DEPTH, A_INNER == DEPTH) / {{a_unit}};
#end
#for in_panels in 0..{{a_panels}}
  let a_height = select(p.tiles, (p.m + DEPTH - 1u) / DEPTH, A_INNER == DEPTH) * DEPTH; // rows of a panel
  let a_step = select(DEPTH, a_height, A_INNER == DEPTH) * PANEL / {{a_unit}};
#end
  let b_step = select(select(DEPTH * p.n, DEPTH, B_INNER == DEPTH), DEPTH * PANEL, {{panels}}) / {{b_unit}};
#for in_rows in 0..{{a_rows}}
  let a_turn = select(select(A_ACROSS * 8u, INVOCATIONS / A_ROW * p.m, A_ACROSS == A_ROW), INVOCATIONS / A_ROW * {{depth}}, A_INNER == DEPTH) / {{a_unit}};
#end
#for in_panels in 0..{{a_panels}}
  let a_turn = select(a_height * PANEL, INVOCATIONS * 8u, A_INNER == DEPTH) / {{a_unit}};
#end
  let b_in_rows = select(select(B_ACROSS * 8u, INVOCATIONS / B_ROW * p.n, B_ACROSS == B_ROW), INVOCATIONS / B_ROW * {{depth}}, B_INNER == DEPTH);
  let b_turn = select(b_in_rows, p.tiles * DEPTH * PANEL, {{panels}}) / {{b_unit}};
#unroll c in 0..{{A_PASSES}}
#for in_rows in 0..{{a_rows}}
  let at = chunk_in(c, a_at, A_ROW, A_ACROSS);
  let outer = min(row + select(at.y * 8u, at.x, A_INNER == DEPTH), p.m - 1u);
  a_base[c] = ({{a_start}} + select(at.x * p.m + outer, outer * {{depth}} + at.y * 8u, A_INNER == DEPTH)) / {{a_unit}};
#end
#for in_panels in 0..{{a_panels}}
  // The invocations together fetch 32 rows of a panel at a time; the last ones again beyond the last row.
  let rows_from = min(row + c * 32u, a_height - 32u);
  a_base[c] = (select((row / PANEL + c) * a_height, rows_from, A_INNER == DEPTH) * PANEL + lane * 8u) / {{a_unit}};
#end
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
