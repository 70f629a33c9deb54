// For gemm_loop.wgsl: loads what this invocation carries of a tile; zeros beyond the depth. {{zeros}}: b has them in storage.
#unroll c in 0..{{A_PASSES}}
    let at = chunk_in(c, a_at, A_ROW, A_ACROSS);
    let k = {{tile}} * DEPTH + select(at.x, at.y * 8u, A_INNER == DEPTH);
    a_next[c] = vec4u();
    if (k < {{depth}}) {
      a_next[c] = {{a}}_halves(a_from[c], select(p.m - min(row + at.y * 8u, p.m - 1u), {{depth}} - k, A_INNER == DEPTH));
    }
#end
#unroll c in 0..{{B_PASSES}}
    let at = chunk_in(c, b_at, B_ROW, B_ACROSS);
    let k = {{tile}} * DEPTH + select(at.x, at.y * 8u, B_INNER == DEPTH);
    b_next[c] = vec4u();
    if ({{zeros}} || k < {{depth}}) {
      b_next[c] = {{b}}_halves(b_from[c], select(p.n - min(column + at.y * 8u, p.n - 1u), {{depth}} - k, B_INNER == DEPTH));
    }
#end
