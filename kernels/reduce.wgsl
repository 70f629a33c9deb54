// Sums a dense [outer, middle, inner] tensor over its middle dimension, in f32, in a fixed order.
// A lane adds blocks of 64 terms and then the blocks: the rounding error of n terms grows like n/64 + 64, not n.
#include "include/grid.wgsl"
#include "include/read_{{X}}.wgsl" with name=x, binding=1
#include "include/write_{{Y}}.wgsl" with name=y, binding=2

struct Params {
  outer: u32,
  middle: u32,
  inner: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

var<workgroup> partial: array<vec2f, 64>;

fn start(i: u32) -> u32 {
  return (i / p.inner) * p.middle * p.inner + i % p.inner;
}

// Terms begin, begin + step, … of the sums that start at `first` and `second`.
fn blocked_sum(first: u32, second: u32, begin: u32, step: u32) -> vec2f {
  var sum = vec2f();
  for (var at = begin; at < p.middle; at += 64u * step) {
    var block = vec2f();
    let end = min(at + 64u * step, p.middle);
    for (var k = at; k < end; k += step) {
      block += vec2f(x_at(first + k * p.inner), x_at(second + k * p.inner));
    }
    sum += block;
  }
  return sum;
}

// One workgroup for two outputs: lanes stride over the middle dimension, then a tree adds the lanes.
@compute @workgroup_size(64)
fn rows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups);
  let count = p.outer * p.inner;
  let i = pair * 2u;
  if (i >= count) {
    return;
  }
  partial[lane] = blocked_sum(start(i), start(min(i + 1u, count - 1u)), lane, 64u);
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
  }
  if (lane == 0u) {
    y_put(pair, partial[0] * p.scale, count);
  }
}

// One thread for two outputs: for many outputs and a short middle dimension.
@compute @workgroup_size(64)
fn columns(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let count = p.outer * p.inner;
  let i = pair * 2u;
  if (i >= count) {
    return;
  }
  y_put(pair, blocked_sum(start(i), start(min(i + 1u, count - 1u)), 0u, 1u) * p.scale, count);
}
