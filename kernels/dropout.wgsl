// y = x · keep(i) / (1 − p), where keep depends on seed and index alone: the backward pass makes the same mask again.
#include "include/grid.wgsl"
#include "include/read_{{X}}.wgsl" with name=x, binding=1
#include "include/write_{{X}}.wgsl" with name=y, binding=2

struct Params {
  count: u32,
  first: u32, // Number of the first element in the whole tensor: the mask does not depend on how it is cut.
  seed: u32,
  threshold: u32, // dropped if the hash is below it: p · 2³²
  factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

// Two rounds of lowbias32 (C. Wellons, "Prospecting for hash functions"), keyed by the seed between them.
fn mix(value: u32) -> u32 {
  var h = value;
  h = (h ^ (h >> 16u)) * 0x7feb352du;
  h = (h ^ (h >> 15u)) * 0x846ca68bu;
  return h ^ (h >> 16u);
}

fn kept(i: u32) -> f32 {
  let dropped = mix(mix(p.first + i) ^ p.seed) < p.threshold;
  return select(x_at(i) * p.factor, 0.0, dropped);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let i = pair * 2u;
  if (i < p.count) {
    y_put(pair, vec2f(kept(i), kept(min(i + 1u, p.count - 1u))), p.count);
  }
}
