#include "include/eight.wgsl"
@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<vec4f>;
fn {{name}}_read8(at: u32, count: u32) -> Eight {
  return Eight({{name}}[at / 4u], {{name}}[at / 4u + 1u]);
}
