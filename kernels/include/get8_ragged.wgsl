#include "include/eight.wgsl"
// Elements from `at` on, of which the first `count` are in the row, the others zero.
fn {{name}}_get8(at: u32, count: u32) -> Eight {
  var eight: Eight;
  for (var i = 0u; i < 4u; i++) {
    if (i < count) {
      eight.low[i] = {{name}}_at(at + i);
    }
    if (i + 4u < count) {
      eight.high[i] = {{name}}_at(at + i + 4u);
    }
  }
  return eight;
}
