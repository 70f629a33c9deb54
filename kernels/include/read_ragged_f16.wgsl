@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<u32>;
fn {{name}}_at(i: u32) -> f32 {
  return unpack2x16float({{name}}[i >> 1u])[i & 1u];
}
// Elements 4·c … 4·c + 3 of the row of `width` elements that starts at element `base`; zeros beyond the row.
fn {{name}}_quad(base: u32, c: u32, width: u32) -> vec4f {
  let column = vec4u(c * 4u) + vec4u(0u, 1u, 2u, 3u);
  let i = base + min(column, vec4u(width - 1u));
  return select(vec4f(), vec4f({{name}}_at(i.x), {{name}}_at(i.y), {{name}}_at(i.z), {{name}}_at(i.w)), column < vec4u(width));
}
