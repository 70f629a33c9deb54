// For gemm_loop.wgsl: where what this invocation carries of the tile at hand lies in storage.
#unroll c in 0..{{A_PASSES}}
    a_from[c] = select(a_base[c] + a_moved, (a_base[0] + a_moved) + c * a_turn, A_EVEN);
#end
#unroll c in 0..{{B_PASSES}}
    b_from[c] = select(b_base[c] + b_moved, (b_base[0] + b_moved) + c * b_turn, B_EVEN || {{panels}});
#end
