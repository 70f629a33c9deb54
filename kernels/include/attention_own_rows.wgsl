// For the attention kernels on matrix units: brings a subgroup's rows of what is staged in `tiles` from row `first` on to
// the registers of {{own}}.
#unroll r in 0..{{ROW_FRAGMENTS}}
  #unroll d in 0..{{DEPTH}}
      {{own}}[r * DEPTH + d] = tiles_left((own_row - first + r * 16u) * STRIDE + d * 2u, STRIDE);
  #end
#end
