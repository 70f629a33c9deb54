// As halves_matrix.wgsl.
fn {{name}}_left(at: u32, stride: u32) -> Left {
  var left: Left;
  for (var chunk = 0u; chunk < 2u; chunk++) {
    let words = {{name}}[at + fragment_row * stride + chunk];
    left.row[2u * chunk] = low_halves(words);
    left.row[2u * chunk + 1u] = high_halves(words);
  }
  return left;
}

fn {{name}}_left_transposed(at: u32, stride: u32) -> Left {
  var left: Left;
  for (var k = 0u; k < sixteen; k++) {
    let word = {{name}}[at + k * stride + fragment_row / 8u][fragment_row % 8u / 2u];
    left.row[k / 4u][k % 4u] = unpack2x16float(word)[fragment_row % 2u];
  }
  return left;
}

fn {{name}}_right(at: u32, stride: u32) -> Right {
  var right: Right;
  for (var k = 0u; k < sixteen; k++) {
    let words = {{name}}[at + k * stride + fragment_half];
    right.rows[2u * k] = low_halves(words);
    right.rows[2u * k + 1u] = high_halves(words);
  }
  return right;
}

fn {{name}}_right_transposed(at: u32, stride: u32) -> Right {
  var right: Right;
  for (var k = 0u; k < sixteen; k++) {
    for (var n = 0u; n < sixteen / 2u; n++) {
      let word = {{name}}[at + (fragment_half * 8u + n) * stride + k / 8u][k % 8u / 2u];
      right.rows[2u * k + n / 4u][n % 4u] = unpack2x16float(word)[k % 2u];
    }
  }
  return right;
}
