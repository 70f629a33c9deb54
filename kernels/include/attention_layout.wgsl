// What the entry points of attention share: the layout of threads, of the table of ranges and of partial products.
//
// A workgroup owns 32 rows (queries, or keys in `gradient_keys`) of one head and walks over tiles of STEP rows of the
// other side. A thread owns the OWN rows lane, lane + LANES, … and of each of them VECS vec4s, because PARTS threads
// share a row: the dot products that they have parts of are added through workgroup memory. Neighbouring threads own
// different rows, so that all of them read the same element of a tile at a time.
const WIDTH = {{WIDTH}}u;
const VECS = {{VECS}}u;
const PARTS = {{PARTS}}u;
const STEP = {{STEP}}u;
const LANES = {{LANES}}u;
const ROWS = 32u;
const OWN = ROWS / LANES;
const THREADS = LANES * PARTS;
// vec4s of a row in workgroup memory; zeros beyond the head size.
const ROW = VECS * PARTS;
// Below every score, and finite: the difference of two running maxima is never NaN.
const LOWEST = -3.0e38;

struct Params {
  queries: u32,
  keys: u32,
  heads: u32,
  kv_heads: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

// Keys [start, end) of each query; then for each 32 queries the least start, the greatest end, the greatest start and
// the least end; then for each 32 keys the first query that may see one of them, and one past the last.
@group(0) @binding(1) var<storage, read> ranges: array<u32>;

// The empty range for rows beyond the last query.
fn keys_of(query: u32) -> vec2u {
  if (query >= p.queries) {
    return vec2u();
  }
  return vec2u(ranges[query * 2u], ranges[query * 2u + 1u]);
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
