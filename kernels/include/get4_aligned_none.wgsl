// Nothing is added.
fn {{name}}_get4(at: u32, count: u32) -> vec4f {
  return vec4f();
}
