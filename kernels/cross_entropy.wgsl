// Softmax cross-entropy over a chunk of rows of logits, of which a range of columns is bound. LOGIT says where a logit
// is read: `logits_at(i)`, or `y[i]` where the gradient takes the logits' place.
#include "include/grid.wgsl"
#include "include/nonfinite.wgsl"
#include "include/read_f32.wgsl" with name=logits, binding=1
#include "include/write_{{Y}}.wgsl" with name=y, binding=2
@group(0) @binding(3) var<storage, read> labels: array<i32>;
// For each row: maximum m of its logits, sum of e^(logit − m) (NaN when a logit is not finite), the label's logit.
@group(0) @binding(4) var<storage, read_write> stats: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;

struct Params {
  // Rows of the chunk, and the first one's number among all labels.
  rows: u32,
  first_row: u32,
  // Columns that are bound, and the first one's number in the vocabulary.
  width: u32,
  first_column: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

const LANES = 256u;
const LOWEST = -3.4028234e38;

var<workgroup> maxima: array<f32, LANES>;
var<workgroup> sums: array<f32, LANES>;
var<workgroup> broken: array<u32, LANES>;

// One workgroup a row. Columns before the bound range have left their part in `stats`.
@compute @workgroup_size(LANES)
fn statistics(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(group, groups);
  if (row >= p.rows) {
    return;
  }
  let start = row * p.width;
  var largest = LOWEST;
  var sum = 0.0;
  var bad = 0u;
  for (var c = lane; c < p.width; c += LANES) {
    let logit = logits_at(start + c);
    bad |= select(1u, 0u, is_finite(logit));
    if (logit > largest) {
      sum = sum * exp(largest - logit) + 1.0;
      largest = logit;
    } else {
      sum += exp(logit - largest);
    }
  }
  maxima[lane] = largest;
  sums[lane] = sum;
  broken[lane] = bad;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      let other = maxima[lane + half];
      let both = max(maxima[lane], other);
      sums[lane] = sums[lane] * exp(maxima[lane] - both) + sums[lane + half] * exp(other - both);
      maxima[lane] = both;
      broken[lane] |= broken[lane + half];
    }
  }
  if (lane > 0u) {
    return;
  }
  let at = p.first_row + row;
  var result = vec4f(maxima[0], sums[0], 0.0, 0.0);
  var failed = broken[0] != 0u;
  if (p.first_column > 0u) {
    let before = stats[at];
    let both = max(before.x, result.x);
    failed = failed || is_nan(before.y);
    result = vec4f(both, before.y * exp(before.x - both) + result.y * exp(result.x - both), before.z, 0.0);
  }
  let column = labels[at] - i32(p.first_column);
  if (column >= 0 && column < i32(p.width)) {
    result.z = logits_at(start + u32(column));
  }
  if (failed) {
    result.y = bitcast<f32>(bitcast<u32>(result.y) | 0x7fc00000u);
  }
  stats[at] = result;
}

// losses[row] = log Σ e^logit − label's logit
@compute @workgroup_size(64)
fn row_losses(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(group, groups) * 64u + lane;
  if (row >= p.rows) {
    return;
  }
  let stat = stats[row];
  var loss = log(stat.y) + (stat.x - stat.z);
  if (is_nan(stat.y)) {
    loss = stat.y;
  }
  losses[row] = loss;
}

fn logit_at(i: u32) -> f32 {
  return {{LOGIT}};
}

fn gradient_at(i: u32) -> f32 {
  let at = p.first_row + i / p.width;
  let stat = stats[at];
  if (is_nan(stat.y)) {
    return stat.y;
  }
  let hit = i32(p.first_column + i % p.width) == labels[at];
  return (exp(logit_at(i) - stat.x) / stat.y - select(0.0, 1.0, hit)) * p.scale;
}

// y = (softmax − one-hot) · scale
@compute @workgroup_size(64)
fn gradient(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let i = pair * 2u;
  let count = p.rows * p.width;
  if (i < count) {
    y_put(pair, vec2f(gradient_at(i), gradient_at(min(i + 1u, count - 1u))), count);
  }
}
