// rms_norm.wgsl for widths that are multiples of 4: a workgroup for each row, which reads it from memory once (what it reads
// again is in a cache by then) and writes it once, to a row or to panels.
#include "include/grid.wgsl"
#include "include/read_quads_{{X}}.wgsl" with name=x, binding=1
#include "include/read_quads_{{W}}.wgsl" with name=weight, binding=2
#include "include/read_quads_{{G}}.wgsl" with name=grad, binding=3
#include "include/write_quads{{ORDER}}_{{Y}}.wgsl" with name=y, binding=4
@group(0) @binding(5) var<storage, read_write> statistics: array<vec2f>;
#include "include/read_quads_{{Y}}.wgsl" with name=addend, binding=6

struct Params {
  rows: u32,
  width: u32,
  eps: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

// Threads of a workgroup: a power of 4.
override LANES: u32 = 256u;
var<workgroup> sums: array<vec2f, 256>;

fn total(own: vec2f, lane: u32) -> vec2f {
  sums[lane] = own;
  for (var n = LANES / 4u; n > 0u; n /= 4u) {
    workgroupBarrier();
    if (lane < n) {
      sums[lane] = (sums[lane] + sums[lane + n]) + (sums[lane + 2u * n] + sums[lane + 3u * n]);
    }
  }
  workgroupBarrier();
  return sums[0];
}

fn inverse_of(squares: f32) -> f32 {
  return 1.0 / sqrt(squares / f32(p.width) + p.eps);
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(group, groups);
  if (row >= p.rows) {
    return;
  }
  let base = row * p.width;
  var squares = 0.0;
  for (var c = lane; c < p.width / 4u; c += LANES) {
    let value = x_quad(base, c, p.width);
    squares += dot(value, value);
  }
  let inverse = inverse_of(total(vec2f(squares, 0.0), lane).x);
  for (var c = lane; c < p.width / 4u; c += LANES) {
    y_put_quad(base, c, p.width, x_quad(base, c, p.width) * inverse * weight_quad(0u, c, p.width));
  }
}

// y = the gradient of x, with what is collected of it already where {{SUM}} adds that; statistics as in rms_norm.wgsl.
@compute @workgroup_size(LANES)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(group, groups);
  if (row >= p.rows) {
    return;
  }
  let base = row * p.width;
  var own = vec2f();
  for (var c = lane; c < p.width / 4u; c += LANES) {
    let value = x_quad(base, c, p.width);
    own += vec2f(dot(value, value), dot(grad_quad(base, c, p.width) * weight_quad(0u, c, p.width), value));
  }
  let sum = total(own, lane);
  let inverse = inverse_of(sum.x);
  let slope = sum.y * inverse * inverse * inverse / f32(p.width);
  if (lane == 0u) {
    statistics[row] = vec2f(inverse, slope);
  }
  for (var c = lane; c < p.width / 4u; c += LANES) {
    let scaled = grad_quad(base, c, p.width) * weight_quad(0u, c, p.width) * inverse;
    let gradient = scaled - x_quad(base, c, p.width) * slope;
    y_put_quad(base, c, p.width, {{SUM}});
  }
}
