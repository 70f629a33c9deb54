// As left_halves_matrix.wgsl.
fn {{name}}_left(at: u32, stride: u32) -> Left {
  let first = at + fragment_row * stride;
  return Left({{name}}[first], {{name}}[first + 1u]);
}

fn {{name}}_left_transposed(at: u32, stride: u32) -> Left {
  var left: Left;
  for (var pair = 0u; pair < eight; pair++) {
    let first = at + 2u * pair * stride + fragment_row / 8u;
    let component = fragment_row % 8u / 2u;
    let shift = fragment_row % 2u * 16u;
    let words = vec2u({{name}}[first][component], {{name}}[first + stride][component]) >> vec2u(shift);
    let word = (words.x & 0xffffu) | (words.y << 16u);
    let place = select(vec4u(), vec4u(word), vec4u(pair % 4u) == vec4u(0u, 1u, 2u, 3u));
    left.low |= select(vec4u(), place, pair < 4u);
    left.high |= select(vec4u(), place, pair >= 4u);
  }
  return left;
}
