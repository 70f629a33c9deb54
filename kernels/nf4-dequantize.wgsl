// NF4 codes back to dense f32 or f16, row-major or in tiles: one thread unpacks one word of eight codes.
#include "include/grid.wgsl"
#include "include/exact.wgsl"
#include "include/nf4_scale_{{SCALE}}.wgsl"
#include "include/write8_{{Y}}.wgsl" with name=y, binding=2
#include "include/nf4_place_{{ORDER}}.wgsl"
#include "include/nf4_codes.wgsl"
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

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  load_codes(lane);
  let word = flat_group(group, groups) * 256u + lane;
  if (word * 8u >= p.count) {
    return;
  }
  let scale = scale_of(p.first_block + word * 8u / BLOCK, p.zero);
  let unscaled = weights(packed[word]);
  y_put8(place_of(word), unscaled[0] * scale, unscaled[1] * scale, p.count);
}
