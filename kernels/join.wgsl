// Joins dense [outer, middle, inner] tensors along the middle dimension, and the opposite: a part between zeros.
#include "include/grid.wgsl"
#include "include/read_{{A}}.wgsl" with name=a, binding=1
#include "include/read_{{B}}.wgsl" with name=b, binding=2
#include "include/write_{{Y}}.wgsl" with name=y, binding=3

struct Params {
  // Rows of the result, of `a`, and of the zeros before it (pad only).
  middle: u32,
  a_middle: u32,
  before: u32,
  inner: u32,
  // Elements to make.
  count: u32,
  // Numbers, in the whole tensors, of the first elements that are bound.
  first: u32,
  a_first: u32,
  b_first: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

fn joined(at: u32) -> f32 {
  let i = p.first + min(at, p.count - 1u);
  let column = i % p.inner;
  let row = (i / p.inner) % p.middle;
  let outer = i / (p.inner * p.middle);
  if (row < p.a_middle) {
    return a_at((outer * p.a_middle + row) * p.inner + column - p.a_first);
  }
  return b_at((outer * (p.middle - p.a_middle) + row - p.a_middle) * p.inner + column - p.b_first);
}

fn padded(at: u32) -> f32 {
  let i = p.first + min(at, p.count - 1u);
  let column = i % p.inner;
  let row = (i / p.inner) % p.middle;
  let outer = i / (p.inner * p.middle);
  if (row < p.before || row >= p.before + p.a_middle) {
    return 0.0;
  }
  return a_at((outer * p.a_middle + row - p.before) * p.inner + column - p.a_first);
}

@compute @workgroup_size(64)
fn concat(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let i = pair * 2u;
  if (i < p.count) {
    y_put(pair, vec2f(joined(i), joined(i + 1u)), p.count);
  }
}

@compute @workgroup_size(64)
fn pad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let i = pair * 2u;
  if (i < p.count) {
    y_put(pair, vec2f(padded(i), padded(i + 1u)), p.count);
  }
}
