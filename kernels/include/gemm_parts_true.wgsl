// What workgroups leave that share a tile, f32 bits: TM × TN of each workgroup, one after the other; gemm_split.wgsl adds them.
@group(0) @binding(7) var<storage, read_write> parts: array<vec4u>;
#include "include/sums_{{UNITS}}.wgsl" with name=parts
