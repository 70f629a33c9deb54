#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<u32>;
// Writes those of elements 4·c … 4·c + 3 that lie in the row of `width` elements that starts at element `base`.
// The width must be even: then no word belongs to two rows.
fn {{name}}_put_quad(base: u32, c: u32, width: u32, v: vec4f) {
  let column = c * 4u;
  if (column < width) {
    {{name}}[(base + column) >> 1u] = pack_half(v.xy);
  }
  if (column + 2u < width) {
    {{name}}[(base + column + 2u) >> 1u] = pack_half(v.zw);
  }
}
