#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec2u>;
// Writes elements 4·c … 4·c + 3 of the row of `width` elements (a multiple of 4) that starts at element `base`.
fn {{name}}_put_quad(base: u32, c: u32, width: u32, v: vec4f) {
  {{name}}[base / 4u + c] = pack_quad(v);
}
