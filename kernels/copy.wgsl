// Copies a strided view to a dense tensor, converting the element type.
#include "include/grid.wgsl"
#include "include/copied_view.wgsl"
#include "include/read_{{X}}.wgsl" with name=x, binding=1
#include "include/write_{{Y}}.wgsl" with name=y, binding=2

fn source(i: u32) -> u32 {
  return p.offset + strided_index(p.first + min(i, p.count - 1u), p.shape, p.strides);
}

// One thread for two elements; PAIR is vec2f, or vec2u where bits are moved as they are.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let i = pair * 2u;
  if (i < p.count) {
    y_put(pair, {{PAIR}}(x_at(source(i)), x_at(source(i + 1u))), p.count);
  }
}
