// NF4 codes back to dense f32 or f16, row-major or in panels: a thread unpacks four words of eight codes,
// which threads side by side have side by side. All are loaded, with their scales, before one is unpacked: a scale is
// found by loads that wait for each other.
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
  width: u32, // Elements in a row; for panels.
  tiles: u32, // Tiles along the depth of the product; for panels.
  first_row: u32, // Of panels that several matrices fill.
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  load_codes(lane);
  let first = flat_group(group, groups) * 1024u + lane;
  let last = (p.count - 1u) / 8u;
  var bits: array<u32, 4>;
  var scales: array<f32, 4>;
#unroll i in 0..4
  let word = min(first + i * 256u, last);
  bits[i] = packed[word];
  scales[i] = scale_of(p.first_block + word * 8u / BLOCK, p.zero);
#end
#unroll i in 0..4
  let word = first + i * 256u;
  if (word <= last) {
    let unscaled = weights(bits[i]);
    y_put8(place_of(word), unscaled[0] * scales[i], unscaled[1] * scales[i], p.count);
  }
#end
}
