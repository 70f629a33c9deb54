#include "include/pack.wgsl"
#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec2u>;
fn {{name}}_put_pack(i: u32, v: Pack, count: u32) {
  let words = pack_quad(v[0]);
  if (count - i * PACK > 2u) {
    {{name}}[i] = words;
  } else {
    {{name}}[i].x = words.x;
  }
}
