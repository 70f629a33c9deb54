#include "include/pack.wgsl"
#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec4u>;
fn {{name}}_put_pack(i: u32, v: Pack, count: u32) {
  let words = pack_eight(v[0], v[1]);
  let room = (count - i * PACK + 1u) / 2u;
  if (room >= 4u) {
    {{name}}[i] = words;
    return;
  }
  for (var k = 0u; k < room; k++) {
    {{name}}[i][k] = words[k];
  }
}
