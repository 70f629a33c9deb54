// y[i] = x[ids[i]], zeros for a negative id, for rows of whole packs; all of x is bound. See gather.wgsl.
#include "include/grid.wgsl"
#include "include/read_pack{{QUADS}}_{{X}}.wgsl" with name=x, binding=1
#include "include/write_pack{{QUADS}}_{{Y}}.wgsl" with name=y, binding=2
@group(0) @binding(3) var<storage, read> ids: array<i32>;

struct Params {
  row: u32, // Packs of a row.
  count: u32, // Elements to make.
  first: u32, // Number of the first pack in the whole result.
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 256u + lane;
  if (i * PACK >= p.count) {
    return;
  }
  let at = p.first + i;
  let id = ids[at / p.row];
  var values = Pack();
  if (id >= 0) {
    values = x_pack(u32(id) * p.row + at % p.row);
  }
  y_put_pack(i, values, p.count);
}
