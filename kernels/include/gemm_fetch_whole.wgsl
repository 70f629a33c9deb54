// For gemm_loop.wgsl: loads what this invocation carries of a tile, where the depth is whole tiles.
#unroll c in 0..{{A_PASSES}}
    a_next[c] = {{a}}_halves(a_from[c], 8u);
#end
#unroll c in 0..{{B_PASSES}}
    b_next[c] = {{b}}_halves(b_from[c], 8u);
#end
