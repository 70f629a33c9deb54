// a·b + c with a single rounding on every device. WGSL's fma() may round twice, and some drivers do.
//
// The product and the sums are split into a rounded part and its exact error (Dekker 1971, Knuth's TwoSum); the small
// parts are added with rounding to odd, so that the last addition rounds as if it saw the exact value (Boldo &
// Melquiond 2008). Fusing a multiply-add inside changes nothing, since the products of halves are exact.
#include "include/exact.wgsl"

// apart() for four; here it also keeps Mesa from "simplifying" (a + b) - a to b.
fn apart4(x: vec4f, zero: u32) -> vec4f {
  return bitcast<vec4f>(bitcast<vec4u>(x) ^ vec4u(zero));
}

// What rounding took from sum = a + b, exactly. `sum` has to come from apart4().
fn two_sum_error(a: vec4f, b: vec4f, sum: vec4f, zero: u32) -> vec4f {
  let b_part = apart4(sum - a, zero);
  return (a - apart4(sum - b_part, zero)) + (b - b_part);
}

// Arguments may be products: they are rounded before anything else happens to them.
fn fused4(factor: vec4f, b: vec4f, summand: vec4f, zero: u32) -> vec4f {
  let a = apart4(factor, zero);
  let c = apart4(summand, zero);
  let product = apart4(a * b, zero);
  let a_high = bitcast<vec4f>(bitcast<vec4u>(a) & vec4u(0xfffff000u));
  let b_high = bitcast<vec4f>(bitcast<vec4u>(b) & vec4u(0xfffff000u));
  let a_low = a - a_high;
  let b_low = b - b_high;
  let product_error = (((a_high * b_high - product) + a_high * b_low) + a_low * b_high) + a_low * b_low;
  let middle = apart4(c + product_error, zero);
  let sum = apart4(product + middle, zero);
  let low1 = two_sum_error(c, product_error, middle, zero);
  let low2 = two_sum_error(product, middle, sum, zero);
  let low = apart4(low1 + low2, zero);
  let lost = two_sum_error(low1, low2, low, zero);
  let bits = bitcast<vec4u>(low);
  let away = (lost > vec4f()) == (low > vec4f());
  let odd = select(bits - vec4u(1u), bits + vec4u(1u), away);
  let inexact = (lost != vec4f()) & ((bits & vec4u(1u)) == vec4u());
  let result = sum + bitcast<vec4f>(select(bits, odd, inexact));
  // Infinities and NaN have no error terms.
  let plain = product + c;
  let finite = (bitcast<vec4u>(plain) & vec4u(0x7fffffffu)) < vec4u(0x7f800000u);
  return select(plain, result, finite);
}
