// y = x / rms(x) · weight over the last dimension, and its gradients. All arithmetic in f32. For any width: statistics of
// rows first, then elements in pairs, because rows of an odd width share words of f16. See rms_norm_rows.wgsl.
#include "include/grid.wgsl"
#include "include/read_{{X}}.wgsl" with name=x, binding=1
#include "include/read_{{W}}.wgsl" with name=weight, binding=2
#include "include/read_{{G}}.wgsl" with name=grad, binding=3
#include "include/write_{{Y}}.wgsl" with name=y, binding=4
@group(0) @binding(5) var<storage, read_write> statistics: array<vec2f>;
@group(0) @binding(6) var<storage, read_write> partial: array<f32>;
#include "include/read_{{Y}}.wgsl" with name=addend, binding=6

struct Params {
  rows: u32,
  width: u32,
  eps: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

const LANES = 64u;
// Rows of which `weight_gradient` makes one partial sum.
const ROWS_PER_BLOCK = 64u;
var<workgroup> sums: array<vec2f, LANES>;

fn total(own: vec2f, lane: u32) -> vec2f {
  sums[lane] = own;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      sums[lane] += sums[lane + half];
    }
  }
  workgroupBarrier();
  return sums[0];
}

// statistics[row] = (1/rms, Σ grad · weight · x / (rms³ · width)); the second is zero without a gradient.
@compute @workgroup_size(LANES)
fn row_statistics(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(group, groups);
  if (row >= p.rows) {
    return;
  }
  var own = vec2f();
  for (var i = lane; i < p.width; i += LANES) {
    let value = x_at(row * p.width + i);
    own.x += value * value;
  }
  let sum = total(own, lane);
  if (lane == 0u) {
    statistics[row] = vec2f(1.0 / sqrt(sum.x / f32(p.width) + p.eps), 0.0);
  }
}

@compute @workgroup_size(LANES)
fn gradient_statistics(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(group, groups);
  if (row >= p.rows) {
    return;
  }
  var own = vec2f();
  for (var i = lane; i < p.width; i += LANES) {
    let value = x_at(row * p.width + i);
    own += vec2f(value * value, grad_at(row * p.width + i) * weight_at(i) * value);
  }
  let sum = total(own, lane);
  if (lane == 0u) {
    let inverse = 1.0 / sqrt(sum.x / f32(p.width) + p.eps);
    statistics[row] = vec2f(inverse, sum.y * inverse * inverse * inverse / f32(p.width));
  }
}

fn normed(i: u32) -> f32 {
  return x_at(i) * statistics[i / p.width].x * weight_at(i % p.width);
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * LANES + lane;
  let i = pair * 2u;
  let count = p.rows * p.width;
  if (i < count) {
    y_put(pair, vec2f(normed(i), normed(min(i + 1u, count - 1u))), count);
  }
}

fn input_gradient_at(i: u32) -> f32 {
  let row = statistics[i / p.width];
  let gradient = grad_at(i) * weight_at(i % p.width) * row.x - x_at(i) * row.y;
  return {{SUM}};
}

@compute @workgroup_size(LANES)
fn input_gradient(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * LANES + lane;
  let i = pair * 2u;
  let count = p.rows * p.width;
  if (i < count) {
    y_put(pair, vec2f(input_gradient_at(i), input_gradient_at(min(i + 1u, count - 1u))), count);
  }
}

// partial[block, column]: the weight's gradient from one block of rows; the blocks are added by reduce.wgsl.
@compute @workgroup_size(LANES)
fn weight_gradient(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = group.x * LANES + lane;
  if (column >= p.width) {
    return;
  }
  let first = group.y * ROWS_PER_BLOCK;
  var sum = 0.0;
  for (var row = first; row < min(first + ROWS_PER_BLOCK, p.rows); row++) {
    let i = row * p.width + column;
    sum += grad_at(i) * x_at(i) * statistics[row].x;
  }
  partial[group.y * p.width + column] = sum;
}
