#include "include/pack.wgsl"
@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<vec2u>;
fn {{name}}_pack(i: u32) -> Pack {
  let words = {{name}}[i];
  return Pack(vec4f(unpack2x16float(words.x), unpack2x16float(words.y)));
}
