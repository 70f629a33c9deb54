// fragments_matrix.wgsl in plain WGSL, to test kernels for matrix units where there are none: the same names do the
// same, in f32 arithmetic, on any device and with subgroups of any size.
//
// Of a group of 32 invocations number i holds row i / 2 of a left fragment and of a result the half of that row that
// i % 2 tells; of a right fragment it holds the same half of every row. So nothing is exchanged.
//
// For software drivers: a kernel should ask for loops that stay loops (UNROLL: 'no'), and those here have a bound that no
// compiler knows. Every call is written out where it stands, at a tenth of a second or more of compilation.
var<private> sixteen: u32;
var<private> fragment_row: u32;
var<private> fragment_half: u32;
struct Left {
  row: array<vec4f, 4>,
}
struct Right {
  rows: array<vec4f, 32>, // two for each of 16 rows
}
struct Sums {
  row: array<vec4f, 2>,
}

fn begin_fragments(invocation: u32) {
  fragment_row = invocation % 32u / 2u;
  sixteen = 16u + (invocation >> 20u);
  fragment_half = invocation % 2u;
}

fn multiply(left: Left, right: Right, sums: Sums) -> Sums {
  var a = left;
  var b = right;
  var result = sums;
  for (var k = 0u; k < sixteen; k++) {
    let factor = vec4f(a.row[k / 4u][k % 4u]);
    result.row[0] = fma(factor, b.rows[2u * k], result.row[0]);
    result.row[1] = fma(factor, b.rows[2u * k + 1u], result.row[1]);
  }
  return result;
}

fn low_halves(words: vec4u) -> vec4f {
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

fn high_halves(words: vec4u) -> vec4f {
  return vec4f(unpack2x16float(words.z), unpack2x16float(words.w));
}
