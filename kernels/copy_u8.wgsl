// Copies a strided view to a dense u8 tensor; fractions are cut, values out of range go to the nearest end.
#include "include/grid.wgsl"
#include "include/copied_view.wgsl"
#include "include/read_{{X}}.wgsl" with name=x, binding=1
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

fn source(i: u32) -> u32 {
  return p.offset + strided_index(p.first + min(i, p.count - 1u), p.shape, p.strides);
}

// One thread for the four bytes of a word of `y`.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let word = flat_group(group, groups) * 64u + lane;
  if (word * 4u >= p.count) {
    return;
  }
  var packed = 0u;
  for (var k = 0u; k < 4u; k++) {
    packed |= u32(clamp(f32(x_at(source(word * 4u + k))), 0.0, 255.0)) << (8u * k);
  }
  y[word] = packed;
}
