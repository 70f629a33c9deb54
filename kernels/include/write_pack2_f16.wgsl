#include "include/pack.wgsl"
#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec4u>;
fn {{name}}_put_pack(i: u32, v: Pack, count: u32) {
  let words = vec4u(pack_half(v[0].xy), pack_half(v[0].zw), pack_half(v[1].xy), pack_half(v[1].zw));
  let room = (count - i * PACK + 1u) / 2u;
  if (room >= 4u) {
    {{name}}[i] = words;
    return;
  }
  for (var k = 0u; k < room; k++) {
    {{name}}[i][k] = words[k];
  }
}
