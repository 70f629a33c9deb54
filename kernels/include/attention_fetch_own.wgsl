// For the attention kernels on matrix units: fetches a workgroup's own rows of two tensors, from row {{from}} of head {{head}} on,
// to {{first}} and {{second}}: stages of them, each as attention_stage.wgsl takes it.
#array {{first}}: vec4u, {{STAGES}}, {{STAGE_LOADS}}
#array {{second}}: vec4u, {{STAGES}}, {{STAGE_LOADS}}
#unroll stage in 0..{{STAGES}}
#unroll i in 0..{{STAGE_LOADS}}
  let n = i * THREADS + thread;
  {{first}}[stage][i] = {{first_chunk}}({{from}} + stage * STAGED + n / CHUNKS, {{head}}, n % CHUNKS);
  {{second}}[stage][i] = {{second_chunk}}({{from}} + stage * STAGED + n / CHUNKS, {{head}}, n % CHUNKS);
#end
#end
