// fragments_matrix.wgsl in plain WGSL, to test kernels for matrix units where there are none: the same names do the
// same, in f32 arithmetic, on any device and with subgroups of any size.
//
// Of a group of 32 invocations number i holds row i / 2 of a left fragment and of a result the half of that row that
// i % 2 tells. A right fragment is a place in workgroup memory, read when it is multiplied: what lies there must not
// change before. So nothing is exchanged.
//
// All this is for the sake of software drivers, which write out every call where it stands and every dynamic index of
// an array for each lane: a kernel should ask for loops that stay loops (UNROLL: 'no'), and those here have a bound that
// no compiler knows.
var<private> eight: u32;
var<private> fragment_row: u32;
var<private> fragment_half: u32;
struct Left {
  // The 16 halves of the row.
  low: vec4u,
  high: vec4u,
}
struct Right {
  at: u32,
  stride: u32,
  transposed: bool,
}
struct Sums {
  low: vec4f,
  high: vec4f,
}

fn begin_fragments(invocation: u32) {
  fragment_row = invocation % 32u / 2u;
  fragment_half = invocation % 2u;
  eight = 8u + (invocation >> 20u);
}

fn multiply(left: Left, right: Right, sums: Sums) -> Sums {
  if (right.transposed) {
    return multiply_transposed(left, right, sums);
  }
  var result = sums;
  for (var pair = 0u; pair < eight; pair++) {
    let factors = unpack2x16float(select(left.high, left.low, pair < 4u)[pair % 4u]);
    for (var k = 0u; k < eight / 4u; k++) {
      let words = right_words(right.at + (2u * pair + k) * right.stride + fragment_half);
      let factor = vec4f(factors[k]);
      result.low = fma(factor, vec4f(unpack2x16float(words.x), unpack2x16float(words.y)), result.low);
      result.high = fma(factor, vec4f(unpack2x16float(words.z), unpack2x16float(words.w)), result.high);
    }
  }
  return result;
}

fn multiply_transposed(left: Left, right: Right, sums: Sums) -> Sums {
  var result = sums;
  for (var n = 0u; n < eight; n++) {
    var sum = 0.0;
    for (var chunk = 0u; chunk < eight / 4u; chunk++) {
      let a = select(left.high, left.low, chunk == 0u);
      let b = right_words(right.at + (fragment_half * 8u + n) * right.stride + chunk);
      sum += dot(unpack2x16float(a.x), unpack2x16float(b.x)) + dot(unpack2x16float(a.y), unpack2x16float(b.y));
      sum += dot(unpack2x16float(a.z), unpack2x16float(b.z)) + dot(unpack2x16float(a.w), unpack2x16float(b.w));
    }
    let added = select(vec4f(), vec4f(sum), vec4u(n % 4u) == vec4u(0u, 1u, 2u, 3u));
    result.low += select(vec4f(), added, n < 4u);
    result.high += select(vec4f(), added, n >= 4u);
  }
  return result;
}
