// Double quantisation: a block's scale is itself an 8-bit code, in blocks of 256, plus the mean of all scales.
@group(0) @binding(3) var<storage, read> absmax: array<u32>;
@group(0) @binding(4) var<storage, read> nested_absmax: array<f32>;
@group(0) @binding(5) var<storage, read> nested_map: array<f32>;
@group(0) @binding(6) var<storage, read> nested_offset: array<f32>;
fn scale_of(block: u32, zero: u32) -> f32 {
  let code = (absmax[block / 4u] >> (8u * (block % 4u))) & 0xffu;
  return apart(nested_map[code] * nested_absmax[block / 256u], zero) + nested_offset[0];
}
