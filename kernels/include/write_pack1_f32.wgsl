#include "include/pack.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec4f>;
fn {{name}}_put_pack(i: u32, v: Pack, count: u32) {
  let room = count - i * PACK;
  if (room >= PACK) {
    {{name}}[i] = v[0];
    return;
  }
  for (var k = 0u; k < room; k++) {
    {{name}}[i][k] = v[0][k];
  }
}
