// What the attention kernels for matrix units share: heads of WIDTH halves in chunks of eight, and tiles of them.
#include "include/attention_ranges.wgsl"
#include "include/half.wgsl"
const CHUNKS = WIDTH / 8u;
// Elements between the rows of a tile of heads in workgroup memory: eight rows lie in different banks.
const STRIDE = CHUNKS + 1u;
const LOG2_E = 1.4426950408889634;
// Two halves; also NaNs if other bits are added.
const NANS = 0x7e007e00u;
const LN_2 = 0.6931471805599453;

// Least start, greatest end, greatest start and least end of the ranges of `count` queries from `first` on, or of some more.
fn keys_of_tile(first: u32, count: u32) -> vec4u {
  var tile = vec4u(0xffffffffu, 0u, 0u, 0xffffffffu);
  let end = min(first + count, p.queries);
  for (var n = first / ROWS; n * ROWS < end; n++) {
    let block = keys_of_block(n);
    tile = vec4u(min(tile.x, block.x), max(tile.y, block.y), max(tile.z, block.z), min(tile.w, block.w));
  }
  return tile;
}

// First query that may see one of `count` keys from `first` on, and one past the last.
fn queries_of_tile(first: u32, count: u32) -> vec2u {
  var tile = vec2u(0xffffffffu, 0u);
  let end = min(first + count, p.keys);
  for (var n = first / ROWS; n * ROWS < end; n++) {
    let block = queries_of_block(n);
    tile = vec2u(min(tile.x, block.x), max(tile.y, block.y));
  }
  return tile;
}

// Whether one of eight halves is a NaN or infinite: one more in an exponent of all ones carries into the sign. `any`
// and `||` would be branches.
fn broken_chunk(words: vec4u) -> bool {
  let carries = (words & vec4u(0x7fff7fffu)) + vec4u(0x04000400u);
  return (((carries.x | carries.y) | (carries.z | carries.w)) & 0x80008000u) != 0u;
}

fn pack_chunk(low: vec4f, high: vec4f) -> vec4u {
  return vec4u(pack_half(low.xy), pack_half(low.zw), pack_half(high.xy), pack_half(high.zw));
}

// The same for values that are known to be in the range of f16.
fn pack_small(low: vec4f, high: vec4f) -> vec4u {
  return vec4u(pack2x16float(low.xy), pack2x16float(low.zw), pack2x16float(high.xy), pack2x16float(high.zw));
}

fn is_seen(key: vec4u, range: vec2u) -> vec4<bool> {
  return (key >= vec4u(range.x)) & (key < vec4u(range.y));
}

// Values, NaN where `bad`: from bits, since compilers may take it that there is no NaN.
fn spoil(values: vec4f, bad: vec4<bool>) -> vec4f {
  return select(values, bitcast<vec4f>(select(vec4u(), vec4u(0x7fc00000u), bad)), bad);
}
