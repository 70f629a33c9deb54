#include "include/eight.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec4f>;
fn {{name}}_put8(at: u32, count: u32, v: Eight) {
  {{name}}[at / 4u] = v.low;
  {{name}}[at / 4u + 1u] = v.high;
}
