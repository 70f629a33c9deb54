#include "include/pack.wgsl"
#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec2u>;
fn {{name}}_put_pack(i: u32, v: Pack, count: u32) {
  let words = vec2u(pack_half(v[0].xy), pack_half(v[0].zw));
  if (count - i * PACK > 2u) {
    {{name}}[i] = words;
  } else {
    {{name}}[i].x = words.x;
  }
}
