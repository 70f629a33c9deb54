#include "include/eight.wgsl"
#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec4u>;
fn {{name}}_put8(at: u32, count: u32, v: Eight) {
  {{name}}[at / 8u] = vec4u(pack_half(v.low.xy), pack_half(v.low.zw), pack_half(v.high.xy), pack_half(v.high.zw));
}
