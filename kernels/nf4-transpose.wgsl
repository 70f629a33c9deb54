// NF4 codes of a matrix [n, k] to f16 in the panels of src/tensor/gemm/panels.ts, which have the other direction.
//
// A thread turns 8 × 8 weights: a word of each of eight rows becomes eight chunks of eight columns. Threads side by side
// write side by side; they read from different rows, but a workgroup uses all of what it reads, 128 rows by 128 steps.
#include "include/exact.wgsl"
#include "include/half.wgsl"
#include "include/nf4_scale_{{SCALE}}.wgsl"
#include "include/nf4_codes.wgsl"
#include "include/panel_order.wgsl"
@group(0) @binding(1) var<storage, read> packed: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4u>;

override BLOCK: u32 = 64u;

struct Params {
  n: u32,
  k: u32, // a multiple of eight
  tiles: u32, // along k
  zero: u32, // 0, see apart().
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  load_codes(lane);
  let columns = lane % 16u; // eight of the workgroup's 128 columns
  let k = group.y * 128u + lane / 16u * 8u;
  if (k >= p.tiles * 32u) {
    return;
  }
  var rows: array<array<vec4f, 2>, 8>;
  if (k < p.k) {
#unroll i in 0..8
    let first = min(group.x * 128u + columns * 8u + i, p.n - 1u) * p.k + k;
    let scale = scale_of(first / BLOCK, p.zero);
    let unscaled = weights(packed[first / 8u]);
    rows[i] = array(unscaled[0] * scale, unscaled[1] * scale);
#end
  }
  let start = ((group.x * 4u + columns / 4u) * p.tiles * 32u + k) * 4u + columns % 4u;
#unroll step in 0..8
  let quad = step / 4u;
  let c = step % 4u;
  y[start + row_in_panel(step) * 4u] = pack_eight(
    vec4f(rows[0][quad][c], rows[1][quad][c], rows[2][quad][c], rows[3][quad][c]),
    vec4f(rows[4][quad][c], rows[5][quad][c], rows[6][quad][c], rows[7][quad][c]),
  );
#end
}
