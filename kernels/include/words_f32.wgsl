// The sibling of words_f16.wgsl.
alias {{name}}_Words = vec4f;
fn {{name}}_words(v: vec4f) -> vec4f {
  return v;
}
fn {{name}}_quick_words(v: vec4f) -> vec4f {
  return v;
}
