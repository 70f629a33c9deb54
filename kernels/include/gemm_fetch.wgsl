// For gemm_loop.wgsl: loads what this invocation carries of a tile; zeros beyond the depth.
#unroll c in 0..{{A_PASSES}}
    let k = {{tile}} * DEPTH + select(a_at.x + c * INVOCATIONS / A_ROW, a_at.y * 8u, A_INNER == DEPTH);
    a_next[c] = vec4u();
    if ({{whole}} || k < {{depth}}) {
      a_next[c] = {{a}}_halves(select(a_base[c], a_base[0] + c * a_pass, A_EVEN) + a_moved, select(p.m - i, {{depth}} - k, A_INNER == DEPTH));
    }
#end
#unroll c in 0..{{B_PASSES}}
    let k = {{tile}} * DEPTH + select(b_at.x + c * INVOCATIONS / B_ROW, b_at.y * 8u, B_INNER == DEPTH);
    b_next[c] = vec4u();
    if ({{whole}} || {{tiled}} || k < {{depth}}) {
      b_next[c] = {{b}}_halves(select(b_base[c], b_base[0] + c * b_pass, B_EVEN || {{tiled}}) + b_moved, select(p.n - j, {{depth}} - k, B_INNER == DEPTH));
    }
#end
