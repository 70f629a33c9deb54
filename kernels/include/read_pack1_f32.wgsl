#include "include/pack.wgsl"
@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<vec4f>;
fn {{name}}_pack(i: u32) -> Pack {
  return Pack({{name}}[i]);
}
