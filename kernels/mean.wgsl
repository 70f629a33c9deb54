// Mean of a vector in the order of additions that PyTorch's CUDA reduction uses, so that the last bit agrees.
//
// There, WIDTH threads of each of `blocks` blocks run over the vector in steps of blocks·WIDTH, each with four sums:
// over the elements of a group of four when vectorised, over successive steps otherwise. Then the four sums are
// added, then the threads of a block pairwise (upper half onto lower half), then the blocks in the same way.
#include "include/grid.wgsl"
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WIDTH: u32 = 512u; // A power of two up to 512.

struct Params {
  count: u32,
  blocks: u32,
  vectorized: u32,
  factor: f32, // The sum is multiplied by this.
}
@group(0) @binding(0) var<uniform> p: Params;

var<workgroup> sums: array<f32, 512>;

fn thread_sum(block: u32, thread: u32) -> f32 {
  var s = vec4f();
  let stride = p.blocks * WIDTH;
  let start = block * WIDTH + thread;
  if (p.vectorized != 0u) {
    let fours = p.count / 4u;
    for (var i = start; i < fours; i += stride) {
      s += vec4f(x[i * 4u], x[i * 4u + 1u], x[i * 4u + 2u], x[i * 4u + 3u]);
    }
    let rest = fours * 4u + start;
    if (rest < p.count) {
      s.x += x[rest];
    }
  } else {
    var k = 0u;
    for (var i = start; i < p.count; i += stride) {
      s[k % 4u] += x[i];
      k++;
    }
  }
  return ((s.x + s.y) + s.z) + s.w;
}

// Sum of sums[0 … WIDTH - 1] in sums[0].
fn fold(lane: u32) {
  for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    for (var i = lane; i < half; i += 64u) {
      sums[i] += sums[i + half];
    }
  }
  workgroupBarrier();
}

@compute @workgroup_size(64)
fn blocks(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = flat_group(group, groups);
  for (var thread = lane; thread < WIDTH; thread += 64u) {
    sums[thread] = thread_sum(block, thread);
  }
  fold(lane);
  if (lane == 0u && block < p.blocks) {
    y[block] = sums[0] * p.factor;
  }
}

// Sum of the blocks' sums: x holds one for each of `count` blocks.
@compute @workgroup_size(64)
fn finish(@builtin(local_invocation_index) lane: u32) {
  for (var thread = lane; thread < WIDTH; thread += 64u) {
    var s = 0.0;
    for (var i = thread; i < p.count; i += WIDTH) {
      s += x[i];
    }
    sums[thread] = s;
  }
  fold(lane);
  if (lane == 0u) {
    y[0] = sums[0] * p.factor;
  }
}
