// rope.wgsl for heads whose halves are whole packs: a thread turns a pack of the first half with one of the second.
#include "include/grid.wgsl"
#include "include/read_pack{{QUADS}}_{{X}}.wgsl" with name=x, binding=1
@group(0) @binding(2) var<storage, read> table: array<vec4f>; // (cos, sin) of two pairs, [position, pairs / 2]
@group(0) @binding(3) var<storage, read> positions: array<i32>;
#include "include/write_pack{{QUADS}}_{{X}}.wgsl" with name=y, binding=4

struct Params {
  count: u32, // elements
  row: u32, // elements of a token: heads · size
  size: u32, // of a head
  sign: f32, // −1 turns back
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 256u + lane;
  if (i * PACK * 2u >= p.count) {
    return;
  }
  let half = p.size / 2u / PACK;
  let column = i % half;
  let place = i / half * half * 2u + column;
  let angles = (u32(positions[place * PACK / p.row]) * half + column) * QUADS * 2u;
  let a = x_pack(place);
  let b = x_pack(place + half);
  var first: Pack;
  var second: Pack;
  #unroll q in 0..{{QUADS}}
  let one = table[angles + q * 2u];
  let two = table[angles + q * 2u + 1u];
  let cosine = vec4f(one.xz, two.xz);
  let sine = vec4f(one.yw, two.yw) * p.sign;
  first[q] = a[q] * cosine - b[q] * sine;
  second[q] = b[q] * cosine + a[q] * sine;
  #end
  y_put_pack(place, first, p.count);
  y_put_pack(place + half, second, p.count);
}
