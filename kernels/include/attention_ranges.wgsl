// What all kernels of attention share: parameters, and which keys each query sees.
const WIDTH = {{WIDTH}}u;
// Queries or keys that share an entry of the block tables; rows of a workgroup.
const ROWS = 32u;
// Below every score, and finite: the difference of two running maxima is never NaN.
const LOWEST = -3.0e38;

struct Params {
  queries: u32,
  keys: u32,
  heads: u32,
  kv_heads: u32,
  scale: f32,
  quads: u32, // vec4s of a head; see attention_plain.wgsl.
}
@group(0) @binding(0) var<uniform> p: Params;

// Keys [start, end) of each query; then for each 32 queries the least start, the greatest end, the greatest start and
// the least end; then for each 32 keys the first query that may see one of them, and one past the last.
@group(0) @binding(1) var<storage, read> ranges: array<u32>;

// The empty range for rows beyond the last query.
fn keys_of(query: u32) -> vec2u {
  let at = min(query, p.queries - 1u) * 2u;
  return select(vec2u(), vec2u(ranges[at], ranges[at + 1u]), query < p.queries);
}

fn keys_of_block(block: u32) -> vec4u {
  let at = p.queries * 2u + block * 4u;
  return vec4u(ranges[at], ranges[at + 1u], ranges[at + 2u], ranges[at + 3u]);
}

fn queries_of_block(block: u32) -> vec2u {
  let at = p.queries * 2u + (p.queries + ROWS - 1u) / ROWS * 4u + block * 2u;
  return vec2u(ranges[at], ranges[at + 1u]);
}

fn total(v: vec4f) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}
