// Gradient of attention's queries on matrix units, for heads of 64 or 128 halves; gradient_queries of attention.wgsl:
// dq_i = scale · Σ_j slope_ij · k_j, slope_ij = weight_ij · (do_i·v_j − do_i·o_i).
//
// A workgroup owns QUERIES rows of one head and walks over KEYS keys at a time. Its subgroups come in pairs that own
// the same rows: the first computes scores q·k, holding queries in registers, the second products do·v, holding
// gradients; of the sums each of them owns half of the columns. A round is two phases with a barrier before each:
//   1. Scores and products from workgroup memory to slopes in workgroup memory, some keys of one row a thread;
//      meanwhile the next keys and values go from registers to workgroup memory.
//   2. sums += slopes · keys; scores and products of the next round. So keys have two places, values one. The keys and
//      values after those are fetched.
//
// A key that is not finite is treated as a value is in attention_forward_matrix.wgsl.
//
// Estimate for one H100 core, WIDTH 128, 64 × 16; clocks per score: matrix products 768 / 2560 = 0.30; workgroup memory
// 128 bytes a clock: keys 8 + values 8, scores and products 8 written at half speed + 8 read, slopes 2 + 4, keys 8,
// tiles 8 = 62 bytes or 0.48. Registers: operand rows 64 + sums 64 + products 16 + fetched tiles 16 + operands 12 +
// some 25 for the rest: 197. It takes 0.80. With 24,480 bytes of workgroup memory two workgroups share a core; larger tiles
// (64 × 32, 128 × 16) are alone there and slower.
#include "include/fragments_{{UNITS}}.wgsl"
#include "include/attention_fragments.wgsl"
@group(0) @binding(2) var<storage, read> q: array<vec4u>;
@group(0) @binding(3) var<storage, read> k: array<vec4u>;
@group(0) @binding(4) var<storage, read> v: array<vec4u>;
@group(0) @binding(5) var<storage, read> grad: array<vec4u>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4u>;
// For each [head, query] its log_sum and the dot product of the output and its gradient.
@group(0) @binding(7) var<storage, read> statistics_read: array<vec2f>;

const QUERIES = {{QUERIES}}u;
const KEYS = {{KEYS}}u;
const ROW_GROUPS = {{ROW_GROUPS}}u;
const THREADS = 64u * ROW_GROUPS;
const OWN_ROWS = QUERIES / ROW_GROUPS;
const OWN_COLUMNS = WIDTH / 2u;
const DEPTH_FRAGMENTS = WIDTH / 16u;
const SUMS = OWN_COLUMNS / 16u; // fragments in a row of a subgroup's sums
const PARTS = THREADS / QUERIES; // threads that share a row of scores
const PART = KEYS / PARTS;
const LOADS = KEYS * CHUNKS / THREADS;
const SLOPES = KEYS / 2u; // a row holds KEYS scores, then KEYS products, then KEYS slopes
const PAIR_STRIDE = SLOPES + KEYS / 8u + 1u;
// Where values lie in `tiles`.
const VALUES = 2u * KEYS * STRIDE;
// Rows of queries or gradients that are brought to registers at a time.
const STAGED = {{STAGED}}u;
const_assert STAGED % OWN_ROWS == 0u;

// Tiles, at the end a column of fragments of each subgroup's sums.
var<workgroup> tiles: array<vec4u, max(3u * KEYS * STRIDE, THREADS / 32u * {{ROW_FRAGMENTS}} * 64u)>;
var<workgroup> pairs: array<vec4u, QUERIES * PAIR_STRIDE>;
#include "include/left_halves_{{UNITS}}.wgsl" with name=tiles
#include "include/right_halves_{{UNITS}}.wgsl" with name=tiles
#include "include/sums_{{UNITS}}.wgsl" with name=tiles
#include "include/left_halves_{{UNITS}}.wgsl" with name=pairs
#include "include/sums_{{UNITS}}.wgsl" with name=pairs
// Of even and odd rounds: one past the last key of the last round in which a key was not finite, and the same for each
// key. Who writes writes the same.
var<workgroup> broken: array<atomic<u32>, 2>;
var<workgroup> broken_keys: array<u32, 2u * KEYS>;

// The last query or key stands for those beyond it: a condition around a load would cost more than the load. Sums of such
// queries are not written, slopes of such keys are 0.
fn query_chunk(query: u32, head: u32, chunk: u32) -> vec4u {
  return q[(min(query, p.queries - 1u) * p.heads + head) * CHUNKS + chunk];
}

fn gradient_chunk(query: u32, head: u32, chunk: u32) -> vec4u {
  return grad[(min(query, p.queries - 1u) * p.heads + head) * CHUNKS + chunk];
}

fn key_chunk(key: u32, head: u32, chunk: u32, end: u32) -> vec4u {
  return k[(min(key, end - 1u) * p.kv_heads + head) * CHUNKS + chunk];
}

fn value_chunk(key: u32, head: u32, chunk: u32, end: u32) -> vec4u {
  return v[(min(key, end - 1u) * p.kv_heads + head) * CHUNKS + chunk];
}

alias Fetched = array<vec4u, LOADS>;

// Brings keys from `first` on to their place `parity` of workgroup memory, and their values.
fn put(keys: ptr<function, Fetched>, values: ptr<function, Fetched>, whole: bool, first: u32, parity: u32, thread: u32) {
#unroll i in 0..{{LOADS}}
  let n = i * THREADS + thread;
  let place = n / CHUNKS * STRIDE + n % CHUNKS;
  tiles[parity * KEYS * STRIDE + place] = (*keys)[i];
  tiles[VALUES + place] = (*values)[i];
#end
  if (!whole) {
#unroll i in 0..{{LOADS}}
    if (broken_chunk((*keys)[i])) {
      let n = i * THREADS + thread;
      tiles[parity * KEYS * STRIDE + n / CHUNKS * STRIDE + n % CHUNKS] = vec4u();
      atomicStore(&broken[parity], first + KEYS);
      broken_keys[parity * KEYS + n / CHUNKS] = first + KEYS;
    }
#end
  }
}

fn fetch(keys: ptr<function, Fetched>, values: ptr<function, Fetched>, first: u32, head: u32, end: u32, thread: u32) {
#unroll i in 0..{{LOADS}}
  let n = i * THREADS + thread;
  (*keys)[i] = key_chunk(first + n / CHUNKS, head, n % CHUNKS, end);
  (*values)[i] = value_chunk(first + n / CHUNKS, head, n % CHUNKS, end);
#end
}

// weight · (do·v − do·o) of four keys, from the bits of scores and products
fn slopes(score: vec4u, product: vec4u, statistic: vec2f) -> vec4f {
  let weight = exp2(bitcast<vec4f>(score) * (p.scale * LOG2_E) - statistic.x * LOG2_E);
  return weight * (bitcast<vec4f>(product) - statistic.y);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let subgroup = thread / 32u;
  let lane = thread % 32u;
  let own_row = subgroup / 2u * OWN_ROWS;
  let of_gradient = subgroup % 2u == 1u;
  let own_column = subgroup % 2u * OWN_COLUMNS;
  let head = group.x;
  let key_head = head / (p.heads / p.kv_heads);
  // Later tiles have more keys: they start first.
  let first_query = ((p.queries + QUERIES - 1u) / QUERIES - 1u - group.y) * QUERIES;
  let tile = keys_of_tile(first_query, QUERIES);
  let end = max(1u, tile.y);

  // The row of scores that this thread has a part of.
  let row = thread % QUERIES;
  let part = thread / QUERIES;
  let range = keys_of(first_query + row);
  let statistic = statistics_read[head * p.queries + min(first_query + row, p.queries - 1u)];
  if (thread < 2u) {
    atomicStore(&broken[thread], 0u);
  }
  if (thread < 2u * KEYS) {
    broken_keys[thread] = 0u;
  }

  // All that comes from storage before the first round is fetched together, or each piece would wait by itself.
#include "include/attention_fetch_own.wgsl" with first=own_queries, first_chunk=query_chunk, second=own_gradients, second_chunk=gradient_chunk, from=first_query, head=head
  var next_keys: Fetched;
  var next_values: Fetched;
  fetch(&next_keys, &next_values, tile.x, key_head, end, thread);
  var own: array<Left, {{ROW_FRAGMENTS}} * DEPTH_FRAGMENTS>;
#unroll stage in 0..{{STAGES}}
#include "include/attention_stage.wgsl" with through=tiles, from=own_queries, owner=!of_gradient, to=own
#include "include/attention_stage.wgsl" with through=tiles, from=own_gradients, owner=of_gradient, to=own
#end

  var sums: array<Sums, {{ROW_FRAGMENTS}} * SUMS>;
  put(&next_keys, &next_values, (tile.x >= tile.z) & (tile.x + KEYS <= tile.w), tile.x, 0u, thread);
  workgroupBarrier();
  fetch(&next_keys, &next_values, tile.x + KEYS, key_head, end, thread);
#include "include/attention_queries_scores.wgsl" with place=0u

  // A round finishes what the one before began, in one piece with what it begins: a condition between the two would keep
  // the compiler from mixing their products. So the last round begins one for nothing.
  var parity = 1u;
  for (var first = tile.x; first < tile.y; first += KEYS) {
    workgroupBarrier();
    var own_scores: array<vec4u, PART / 4u>;
    var own_products: array<vec4u, PART / 4u>;
#unroll i in 0..{{PART_QUADS}}
    own_scores[i] = pairs[row * PAIR_STRIDE + part * (PART / 4u) + i];
    own_products[i] = pairs[row * PAIR_STRIDE + KEYS / 4u + part * (PART / 4u) + i];
#end
    // What is done only where not all rows see all keys is behind conditions, and no load is.
    let next = first + KEYS;
    let whole = (first >= tile.z) & (next <= tile.w);
    let next_whole = (next >= tile.z) & (next + KEYS <= tile.w);
    // While scores and products are on their way.
    put(&next_keys, &next_values, next_whole, next, parity, thread);
    var own_slopes: array<vec4f, PART / 4u>;
#unroll i in 0..{{PART_QUADS}}
    own_slopes[i] = slopes(own_scores[i], own_products[i], statistic);
#end
    var nans = 0u;
    if (!whole) {
#unroll i in 0..{{PART_QUADS}}
      let key = first + part * PART + i * 4u + vec4u(0u, 1u, 2u, 3u);
      own_slopes[i] = select(vec4f(), own_slopes[i], is_seen(key, range));
#end
      if (atomicLoad(&broken[1u - parity]) == next) {
        for (var n = part * PART; n < (part + 1u) * PART; n++) {
          let seen = (first + n >= range.x) & (first + n < range.y);
          nans = select(nans, NANS, seen & (broken_keys[(1u - parity) * KEYS + n] == next));
        }
      }
    }
#unroll i in 0..{{PART_CHUNKS}}
    let words = pack_small(own_slopes[2u * i], own_slopes[2u * i + 1u]);
    pairs[row * PAIR_STRIDE + SLOPES + part * (PART / 8u) + i] = words | vec4u(nans);
#end
    workgroupBarrier();
    fetch(&next_keys, &next_values, next + KEYS, key_head, end, thread);
    let keys = (1u - parity) * KEYS * STRIDE;
#include "include/attention_collect.wgsl" with sums=sums, columns=SUMS, array=pairs, weights=SLOPES, step=2u, stride=PAIR_STRIDE, rows=keys, column=own_column
#include "include/attention_queries_scores.wgsl" with place=parity
    parity = 1u - parity;
  }

#unroll pair in 0..{{SUM_PAIRS}}
#include "include/attention_leave.wgsl" with array=pairs, sums=sums, columns=SUMS
  #unroll odd in 0..2
  #unroll r in 0..{{ROW_FRAGMENTS}}
#include "include/attention_own_sums.wgsl" with array=pairs
  if (first_query + of_row < p.queries) {
    let chunk = ((first_query + of_row) * p.heads + head) * CHUNKS + (own_column + c * 16u) / 8u + lane % 2u;
    y[chunk] = pack_eight(low * p.scale, high * p.scale);
  }
  #end
  #end
#end
}
