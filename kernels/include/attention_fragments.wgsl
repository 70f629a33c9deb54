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

// Where chunk n of a tile lies in workgroup memory.
fn place_in_tile(n: u32) -> u32 {
  return n / CHUNKS * STRIDE + n % CHUNKS;
}

// Least start, greatest end, greatest start and least end of the ranges of `count` queries from `first` on, or of some more.
fn keys_of_tile(first: u32, count: u32) -> vec4u {
  var tile = vec4u(0xffffffffu, 0u, 0u, 0xffffffffu);
  // The last block again instead of those beyond it: with as many turns always, all loads are under way together.
  for (var n = 0u; n < count / ROWS; n++) {
    let block = keys_of_block(min(first / ROWS + n, (p.queries - 1u) / ROWS));
    tile = vec4u(min(tile.x, block.x), max(tile.y, block.y), max(tile.z, block.z), min(tile.w, block.w));
  }
  return tile;
}

// First query that may see one of `count` keys from `first` on, and one past the last.
fn queries_of_tile(first: u32, count: u32) -> vec2u {
  var tile = vec2u(0xffffffffu, 0u);
  for (var n = 0u; n < count / ROWS; n++) {
    let block = queries_of_block(min(first / ROWS + n, (p.keys - 1u) / ROWS));
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

fn is_seen(key: vec4u, range: vec2u) -> vec4<bool> {
  return (key >= vec4u(range.x)) & (key < vec4u(range.y));
}

// Values, NaN where `bad`: from bits, since compilers may take it that there is no NaN.
fn spoil(values: vec4f, bad: vec4<bool>) -> vec4f {
  return select(values, bitcast<vec4f>(select(vec4u(), vec4u(0x7fc00000u), bad)), bad);
}
