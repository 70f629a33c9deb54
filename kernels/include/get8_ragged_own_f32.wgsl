#include "include/eight.wgsl"
// The addend is what y holds.
fn {{name}}_get8(at: u32, count: u32) -> Eight {
  var eight: Eight;
  for (var i = 0u; i < 4u; i++) {
    if (i < count) {
      eight.low[i] = y[at + i];
    }
    if (i + 4u < count) {
      eight.high[i] = y[at + i + 4u];
    }
  }
  return eight;
}
