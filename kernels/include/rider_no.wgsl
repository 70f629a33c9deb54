const HAS_RIDER = false;
fn rider_a_halves(at: u32, count: u32) -> vec4u {
  return vec4u();
}
fn rider_b_halves(at: u32, count: u32) -> vec4u {
  return vec4u();
}
