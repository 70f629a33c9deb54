// Quantiles of the normal distribution scaled to [-1, 1] (Dettmers et al. 2023, "QLoRA", appendix E).
const NF4 = array<f32, 16>(
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
  -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
  0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
);
var<workgroup> codes: array<f32, 16>;

// To be called by a whole workgroup before weights().
fn load_codes(lane: u32) {
  if (lane < 16u) {
    codes[lane] = NF4[lane];
  }
  workgroupBarrier();
}

// The eight weights of a word, before scaling: the first of a byte in its high half.
fn weights(bits: u32) -> array<vec4f, 2> {
  return array(
    vec4f(codes[(bits >> 4u) & 15u], codes[bits & 15u], codes[(bits >> 12u) & 15u], codes[(bits >> 8u) & 15u]),
    vec4f(codes[(bits >> 20u) & 15u], codes[(bits >> 16u) & 15u], codes[bits >> 28u], codes[(bits >> 24u) & 15u]),
  );
}
