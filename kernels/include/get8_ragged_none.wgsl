#include "include/eight.wgsl"
// Nothing is added.
fn {{name}}_get8(at: u32, count: u32) -> Eight {
  return Eight();
}
