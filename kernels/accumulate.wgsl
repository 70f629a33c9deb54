// y += x, in place, y in f32.
#include "include/grid.wgsl"
#include "include/read_pack1_{{X}}.wgsl" with name=x, binding=1
#include "include/write_pack1_f32.wgsl" with name=y, binding=2

struct Params {
  count: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 256u + lane;
  if (i * PACK < p.count) {
    y_put_pack(i, Pack(y[i] + x_pack(i)[0]), p.count);
  }
}
