// copy.wgsl where elements lie in runs of whole packs: contiguous tensors, and views whose innermost dimension, strides
// and offset are multiples of a pack.
#include "include/grid.wgsl"
#include "include/copied_view.wgsl"
#include "include/read_pack{{QUADS}}_{{X}}.wgsl" with name=x, binding=1
#include "include/write_pack{{QUADS}}_{{Y}}.wgsl" with name=y, binding=2

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 256u + lane;
  if (i * PACK < p.count) {
    let at = p.offset + strided_index(p.first + i * PACK, p.shape, p.strides);
    y_put_pack(i, x_pack(at / PACK), p.count);
  }
}
