struct Params {
  size: vec2u,
}
@group(0) @binding(0) var<uniform> p: Params;
@compute @workgroup_size(1)
fn main() {}
