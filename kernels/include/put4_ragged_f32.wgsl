#include "include/half.wgsl"
#include "include/words_f32.wgsl" with name={{name}}
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<f32>;
// Writes the first `count` from element `at` on.
fn {{name}}_put4(at: u32, count: u32, words: {{name}}_Words) {
  for (var i = 0u; i < 4u; i++) {
    if (i < count) {
      {{name}}[at + i] = words[i];
    }
  }
}
