#include "include/eight.wgsl"
// The addend is what y holds.
fn {{name}}_get8(at: u32, count: u32) -> Eight {
  return Eight(y[at / 4u], y[at / 4u + 1u]);
}
