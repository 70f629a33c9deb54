#include "include/eight.wgsl"
@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<vec4u>;
fn {{name}}_read8(at: u32, count: u32) -> Eight {
  let words = {{name}}[at / 8u];
  return Eight(
    vec4f(unpack2x16float(words.x), unpack2x16float(words.y)),
    vec4f(unpack2x16float(words.z), unpack2x16float(words.w)),
  );
}
