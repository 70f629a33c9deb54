#include "include/half.wgsl"
#include "include/words_f32.wgsl" with name={{name}}
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec4f>;
fn {{name}}_put4(at: u32, count: u32, words: {{name}}_Words) {
  {{name}}[at / 4u] = words;
}
