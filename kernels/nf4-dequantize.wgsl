// NF4 codes back to dense f32 or f16, row-major or in tiles: one thread unpacks one word of eight codes.
#include "include/grid.wgsl"
#include "include/exact.wgsl"
#include "include/nf4_scale_{{SCALE}}.wgsl"
#include "include/write8_{{Y}}.wgsl" with name=y, binding=2
#include "include/nf4_place_{{ORDER}}.wgsl"
@group(0) @binding(1) var<storage, read> packed: array<u32>;

override BLOCK: u32 = 64u;

struct Params {
  count: u32,
  first_block: u32, // Number of the first block of this part.
  zero: u32, // 0, see apart().
  width: u32, // Elements in a row; for tiles.
  tiles: u32, // Tiles along the depth of the product; for tiles.
}
@group(0) @binding(0) var<uniform> p: Params;

// Quantiles of the normal distribution scaled to [-1, 1] (Dettmers et al. 2023, "QLoRA", appendix E).
const NF4 = array<f32, 16>(
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
  -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
  0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
);
var<workgroup> codes: array<f32, 16>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (lane < 16u) {
    codes[lane] = NF4[lane];
  }
  workgroupBarrier();
  let word = flat_group(group, groups) * 256u + lane;
  if (word * 8u >= p.count) {
    return;
  }
  let bits = packed[word];
  let scale = scale_of(p.first_block + word * 8u / BLOCK, p.zero);
  let first = vec4f(codes[(bits >> 4u) & 15u], codes[bits & 15u], codes[(bits >> 12u) & 15u], codes[(bits >> 8u) & 15u]);
  let second = vec4f(codes[(bits >> 20u) & 15u], codes[(bits >> 16u) & 15u], codes[bits >> 28u], codes[(bits >> 24u) & 15u]);
  y_put8(place_of(word), first * scale, second * scale, p.count);
}
