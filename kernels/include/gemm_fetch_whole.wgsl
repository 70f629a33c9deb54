// For gemm_loop.wgsl: loads what this invocation carries of a tile, where the depth is whole tiles. Ragged rows of an
// operand that lies across the depth end before a chunk does: what is beyond the last one may be beyond the buffer.
#unroll c in 0..{{A_PASSES}}
    let at = chunk_in(c, a_at, A_ROW, A_ACROSS);
    a_next[c] = {{a}}_halves(a_from[c], select(p.m - min(row + at.y * 8u, p.m - 1u), 8u, A_INNER == DEPTH));
#end
#unroll c in 0..{{B_PASSES}}
    let at = chunk_in(c, b_at, B_ROW, B_ACROSS);
    b_next[c] = {{b}}_halves(b_from[c], select(p.n - min(column + at.y * 8u, p.n - 1u), 8u, B_INNER == DEPTH));
#end
