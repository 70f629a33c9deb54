@group(0) @binding({{binding}}) var<storage, {{access}}> {{name}}: array<vec4u>;
// Eight f16 from place `at` on, counted in eights, of which the first `count` are in the row: all, since rows are multiples
// of eight wide.
fn {{name}}_halves(at: u32, count: u32) -> vec4u {
  return {{name}}[at];
}
