@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<f16>;
// Eight f16 of row `outer` from `inner` on, zero outside; for rows of any width.
fn {{name}}_chunk(start: u32, outer: u32, inner: u32, rows: u32, width: u32) -> vec4u {
  var words: vec4u;
  if (outer >= rows) {
    return words;
  }
  let at = start + outer * width;
  for (var w = 0u; w < 4u; w++) {
    var pair = vec2<f16>();
    if (inner + 2u * w < width) {
      pair.x = {{name}}[at + inner + 2u * w];
    }
    if (inner + 2u * w + 1u < width) {
      pair.y = {{name}}[at + inner + 2u * w + 1u];
    }
    words[w] = bitcast<u32>(pair);
  }
  return words;
}
