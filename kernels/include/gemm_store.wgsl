// For gemm_matrix.wgsl: brings what this invocation carries of a tile to {{tiles}}.
    if (A_CHUNKS >= INVOCATIONS || lane < A_CHUNKS) {
#unroll c in 0..{{A_PASSES}}
      let at = chunk_in(c, a_at, A_ROW, A_ACROSS);
      {{tiles}}[at.x * A_STRIDE + at.y] = a_next[c];
#end
    }
    if (B_CHUNKS >= INVOCATIONS || lane < B_CHUNKS) {
#unroll c in 0..{{B_PASSES}}
      let at = chunk_in(c, b_at, B_ROW, B_ACROSS);
      {{tiles}}[B_TILE + at.x * B_STRIDE + at.y] = b_next[c];
#end
    }
