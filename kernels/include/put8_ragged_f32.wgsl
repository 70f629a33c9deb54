#include "include/eight.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<f32>;
// Writes the first `count` from element `at` on.
fn {{name}}_put8(at: u32, count: u32, v: Eight) {
  for (var i = 0u; i < 4u; i++) {
    if (i < count) {
      {{name}}[at + i] = v.low[i];
    }
    if (i + 4u < count) {
      {{name}}[at + i + 4u] = v.high[i];
    }
  }
}
