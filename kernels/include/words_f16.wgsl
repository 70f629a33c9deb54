// What {{name}}_put4() writes: of any four results, and quickly of results that exceed_halves() says nothing against.
alias {{name}}_Words = vec2u;
fn {{name}}_words(v: vec4f) -> vec2u {
  return pack_quad(v);
}
fn {{name}}_quick_words(v: vec4f) -> vec2u {
  return pack_small_quad(v);
}
