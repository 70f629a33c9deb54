// Rotary position embeddings, rotate-half layout: elements d and d + size/2 of a head turn by the angle of pair d.
#include "include/grid.wgsl"
#include "include/read_{{X}}.wgsl" with name=x, binding=1
@group(0) @binding(2) var<storage, read> table: array<vec2f>; // (cos, sin) of [position, pair]
@group(0) @binding(3) var<storage, read> positions: array<i32>;
#include "include/write_{{X}}.wgsl" with name=y, binding=4

struct Params {
  count: u32, // elements
  row: u32, // elements of a token: heads · size
  size: u32, // of a head, even
  sign: f32, // −1 turns back
}
@group(0) @binding(0) var<uniform> p: Params;

fn rotated(i: u32) -> f32 {
  let half = p.size / 2u;
  let d = i % p.size;
  let turn = table[u32(positions[i / p.row]) * half + d % half];
  let first = d < half;
  let other = x_at(select(i - half, i + half, first));
  return x_at(i) * turn.x + select(other, -other, first) * turn.y * p.sign;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let i = pair * 2u;
  if (i < p.count) {
    y_put(pair, vec2f(rotated(i), rotated(i + 1u)), p.count);
  }
}
