// Softmax cross-entropy over logits of a chunk of rows and a range of the vocabulary, transposed: [vocabulary, rows]. That
// way the products before and after read their large operand, the weight, as it lies.
// LOGIT says where a logit is read: `logits_at(i)`, or `y[i]` where the gradient takes the logits' place.
#include "include/grid.wgsl"
#include "include/nonfinite.wgsl"
#include "include/read_f32.wgsl" with name=logits, binding=1
#include "include/write_{{Y}}.wgsl" with name=y, binding=2
@group(0) @binding(3) var<storage, read> labels: array<i32>;
// For each row: maximum m of its logits, sum of e^(logit − m) (NaN when a logit is not finite), the label's logit, and 1
// when a logit is not finite.
@group(0) @binding(4) var<storage, read_write> stats: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;
// The same of a slice of the vocabulary, [slices, rows].
@group(0) @binding(6) var<storage, read_write> parts: array<vec4f>;

struct Params {
  // Rows of the chunk, and the first one's number among all labels.
  rows: u32,
  first_row: u32,
  // Words of the vocabulary that are bound, and the first one's number.
  width: u32,
  first_word: u32,
  slices: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

const LANES = 256u;
// Rows of a workgroup side by side; the other lanes share the words of a slice.
const ACROSS = 32u;
const SHARES = LANES / ACROSS;
const LOWEST = -3.4028234e38;
// Words of a workgroup of gradient_even.
const WORDS = 16u;

var<workgroup> shared_parts: array<vec4f, LANES>;

// Statistics of two sets of words of the same row together.
fn both(a: vec4f, b: vec4f) -> vec4f {
  let most = max(a.x, b.x);
  return vec4f(most, a.y * exp(a.x - most) + b.y * exp(b.x - most), a.z + b.z, max(a.w, b.w));
}

// parts[slice, row]: one workgroup for a slice of 32 rows. The label's logit is 0 in slices without the label.
@compute @workgroup_size(LANES)
fn statistics(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * ACROSS + lane % ACROSS;
  let within = min(row, p.rows - 1u);
  let words = (p.width + p.slices - 1u) / p.slices;
  let end = min((group.y + 1u) * words, p.width);
  let label = labels[p.first_row + within] - i32(p.first_word);
  var own = vec4f(LOWEST, 0.0, 0.0, 0.0);
  for (var word = group.y * words + lane / ACROSS; word < end; word += SHARES) {
    let logit = logits_at(word * p.rows + within);
    own.w = select(1.0, own.w, is_finite(logit));
    let most = max(own.x, logit);
    own.y = own.y * exp(own.x - most) + exp(logit - most);
    own.x = most;
    own.z += select(0.0, logit, i32(word) == label);
  }
  shared_parts[lane] = own;
  workgroupBarrier();
  if (lane >= ACROSS || row >= p.rows) {
    return;
  }
  for (var share = 1u; share < SHARES; share++) {
    own = both(own, shared_parts[share * ACROSS + lane]);
  }
  parts[group.y * p.rows + row] = own;
}

// stats[row]: the slices together, and what ranges of the vocabulary before this one have left.
@compute @workgroup_size(64)
fn combine(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(group, groups) * 64u + lane;
  if (row >= p.rows) {
    return;
  }
  var whole = parts[row];
  for (var slice = 1u; slice < p.slices; slice++) {
    whole = both(whole, parts[slice * p.rows + row]);
  }
  if (p.first_word > 0u) {
    whole = both(stats[p.first_row + row], whole);
  }
  if (whole.w > 0.0) {
    whole.y = bitcast<f32>(bitcast<u32>(whole.y) | 0x7fc00000u);
  }
  stats[p.first_row + row] = whole;
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

fn gradient_of(logit: f32, stat: vec4f, hit: bool) -> f32 {
  if (is_nan(stat.y)) {
    return stat.y;
  }
  return (exp(logit - stat.x) / stat.y - select(0.0, 1.0, hit)) * p.scale;
}

fn gradient_at(i: u32) -> f32 {
  let at = p.first_row + i % p.rows;
  return gradient_of(logit_at(i), stats[at], i32(p.first_word + i / p.rows) == labels[at]);
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

// The same for an even number of rows: a thread takes two rows and finds what it needs of them once for all its words.
@compute @workgroup_size(64)
fn gradient_even(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.x * 64u + lane) * 2u;
  if (row >= p.rows) {
    return;
  }
  let first = p.first_row + row;
  let stat = array(stats[first], stats[first + 1u]);
  let label = vec2i(labels[first], labels[first + 1u]) - vec2i(i32(p.first_word));
  let end = min((group.y + 1u) * WORDS, p.width);
  for (var word = group.y * WORDS; word < end; word++) {
    let i = word * p.rows + row;
    let low = gradient_of(logit_at(i), stat[0], i32(word) == label.x);
    let high = gradient_of(logit_at(i + 1u), stat[1], i32(word) == label.y);
    y_put(i / 2u, vec2f(low, high), p.rows * p.width);
  }
}
