#include "include/half.wgsl"
#include "include/words_f16.wgsl" with name={{name}}
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<u32>;
// Writes the first `count` from element `at` on; both are even, so that a word has one owner.
fn {{name}}_put4(at: u32, count: u32, words: {{name}}_Words) {
  {{name}}[at / 2u] = words.x;
  if (count > 2u) {
    {{name}}[at / 2u + 1u] = words.y;
  }
}
