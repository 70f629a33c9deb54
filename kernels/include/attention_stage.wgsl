// For the attention kernels on matrix units: brings stage `stage` of a workgroup's own rows, which were fetched to {{from}},
// through {{through}} to the registers {{to}} of the subgroups whose rows they are, if {{owner}}.
#unroll i in 0..{{STAGE_LOADS}}
  {{through}}[place_in_tile(i * THREADS + thread)] = {{from}}[stage][i];
#end
  workgroupBarrier();
  if ({{owner}} && own_row / STAGED == stage) {
#unroll r in 0..{{ROW_FRAGMENTS}}
  #unroll d in 0..{{DEPTH_FRAGMENTS}}
    {{to}}[r * DEPTH_FRAGMENTS + d] = {{through}}_left((own_row % STAGED + r * 16u) * STRIDE + d * 2u, STRIDE);
  #end
#end
  }
  workgroupBarrier();
