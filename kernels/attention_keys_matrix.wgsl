// Gradients of attention's keys and values on matrix units, for heads of 64 or 128 halves; gradient_keys of
// attention.wgsl: dv_j = Σ_i weight_ij · do_i, dk_j = scale · Σ_i slope_ij · q_i, over the query heads of a group.
//
// A workgroup owns KEYS rows of one key head and walks over the heads of its group and QUERIES queries at a time.
// Its subgroups come in pairs: the first computes scores k·q, holding keys in registers, and sums up the gradient of
// values, the second products v·do, holding values, and the gradient of keys. So all is transposed: rows are keys.
// ROW_GROUPS pairs own different rows. A round is two phases with a barrier before each:
//   1. Scores and products from workgroup memory to weights and slopes in workgroup memory, some queries of one key a
//      thread; meanwhile the next queries and gradients go from registers to workgroup memory.
//   2. sums += weights · gradients, slopes · queries; scores and products of the next round. The queries and gradients
//      after those are fetched.
// Where memory holds but one tile of queries and gradients (PLACES = 1), the next ones come in the middle of phase 2, in
// two more barriers.
//
// A query or gradient that is not finite is treated as a value is in attention_forward_matrix.wgsl.
//
// Estimate for one H100 core, WIDTH 128, 64 keys × 16 queries, 32 rows a subgroup; clocks per score: matrix products
// 1024 / 2560 = 0.40; workgroup memory 128 bytes a clock: operands of scores and products 16, 8 written at half speed and 8
// read, statistics 2, weights and slopes 4, sums 20, tiles 8 = 74 bytes or 0.58. It takes 1.04. Two workgroups share a core;
// one of 128 keys with two places and no barriers in the middle is slower (1.5).
#include "include/fragments_{{UNITS}}.wgsl"
#include "include/attention_fragments.wgsl"
@group(0) @binding(2) var<storage, read> q: array<vec4u>;
@group(0) @binding(3) var<storage, read> k: array<vec4u>;
@group(0) @binding(4) var<storage, read> v: array<vec4u>;
@group(0) @binding(5) var<storage, read> grad: array<vec4u>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4u>;
@group(0) @binding(7) var<storage, read_write> y2: array<vec4u>;
// For each [head, query] its log_sum and the dot product of the output and its gradient.
@group(0) @binding(8) var<storage, read> statistics_read: array<vec2f>;

const KEYS = {{KEYS}}u;
const QUERIES = {{QUERIES}}u;
const ROW_GROUPS = {{ROW_GROUPS}}u;
const PLACES = {{PLACES}}u;
const THREADS = 64u * ROW_GROUPS;
const OWN_ROWS = KEYS / ROW_GROUPS;
const DEPTH_FRAGMENTS = WIDTH / 16u;
const SUMS = WIDTH / 16u; // fragments in a row of a subgroup's sums
const PARTS = THREADS / KEYS; // threads that share a row of scores
const PART = QUERIES / PARTS;
const LOADS = QUERIES * CHUNKS / THREADS;
// A row holds QUERIES scores, then QUERIES products. Weights come to lie over scores and slopes over products. A thread
// overwrites nothing but what it alone has read: the chunks 2n and 2n + 1 of a row become the elements 4n + 1 and 4n + 2.
// The next scores come there when all weights have been read: only the subgroup that reads rows of weights writes these.
const PAIR_STRIDE = QUERIES / 2u + 1u;
// Where things lie in `tiles`: in each place queries and then their gradients.
const PLACE = 2u * QUERIES * STRIDE;
// The queries of a round share one block of the table of ranges.
const_assert ROWS % QUERIES == 0u;
// Rows of keys or values that are brought to registers at a time
const STAGED = {{STAGED}}u;
const_assert STAGED % OWN_ROWS == 0u;

// Tiles, at the end a column of fragments of each subgroup's sums.
var<workgroup> tiles: array<vec4u, max(PLACES * PLACE, THREADS / 32u * {{ROW_FRAGMENTS}} * 64u)>;
var<workgroup> pairs: array<vec4u, KEYS * PAIR_STRIDE>;
#include "include/left_halves_{{UNITS}}.wgsl" with name=tiles
#include "include/right_halves_{{UNITS}}.wgsl" with name=tiles
#include "include/sums_{{UNITS}}.wgsl" with name=tiles
#include "include/left_halves_{{UNITS}}.wgsl" with name=pairs
#include "include/sums_{{UNITS}}.wgsl" with name=pairs
// Of the queries of this round and the next: log_sum in units of log2, products of output and gradient.
var<workgroup> log_sums: array<vec4f, QUERIES / 2u>;
var<workgroup> deltas: array<vec4f, QUERIES / 2u>;
// Of even and odd rounds: the number of the last round in which a query or its gradient was not finite, and for each query
// the number of the last round in which this one was not. Who writes writes the same.
var<workgroup> broken: array<atomic<u32>, 2>;
var<workgroup> broken_queries: array<u32, 2u * QUERIES>;

// The last query or key stands for those beyond it: a condition around a load would cost more than the load. Such queries
// see no key, gradients of such keys are not written.
fn key_chunk(key: u32, head: u32, chunk: u32) -> vec4u {
  return k[(min(key, p.keys - 1u) * p.kv_heads + head) * CHUNKS + chunk];
}

fn value_chunk(key: u32, head: u32, chunk: u32) -> vec4u {
  return v[(min(key, p.keys - 1u) * p.kv_heads + head) * CHUNKS + chunk];
}

fn query_chunk(query: u32, head: u32, chunk: u32) -> vec4u {
  return q[(min(query, p.queries - 1u) * p.heads + head) * CHUNKS + chunk];
}

fn gradient_chunk(query: u32, head: u32, chunk: u32) -> vec4u {
  return grad[(min(query, p.queries - 1u) * p.heads + head) * CHUNKS + chunk];
}

// Where not all queries see all keys, ranges are read when they are needed: rounds that need none need not wait for any.
fn sees(query: u32, key: u32) -> bool {
  let range = keys_of(query);
  return (key >= range.x) & (key < range.y);
}

// Where the weights of chunk n of a row lie; slopes are QUERIES / 4 elements on.
fn weight_place(row: u32, n: u32) -> u32 {
  return row * PAIR_STRIDE + n * 2u + 1u - n % 2u;
}

alias Fetched = array<vec4u, LOADS>;

fn fetch(
  queries: ptr<function, Fetched>,
  gradients: ptr<function, Fetched>,
  first: u32,
  head: u32,
  thread: u32,
) {
#unroll i in 0..{{LOADS}}
  let n = i * THREADS + thread;
  (*queries)[i] = query_chunk(first + n / CHUNKS, head, n % CHUNKS);
  (*gradients)[i] = gradient_chunk(first + n / CHUNKS, head, n % CHUNKS);
#end
}

// Brings what was fetched to place `parity` of workgroup memory, or to the only one.
fn put(queries: ptr<function, Fetched>, gradients: ptr<function, Fetched>, whole: bool, round: u32, parity: u32, thread: u32) {
  let place = parity % PLACES * PLACE;
#unroll i in 0..{{LOADS}}
  tiles[place + place_in_tile(i * THREADS + thread)] = (*queries)[i];
  tiles[place + QUERIES * STRIDE + place_in_tile(i * THREADS + thread)] = (*gradients)[i];
#end
  if (!whole) {
#unroll i in 0..{{LOADS}}
    let drop_query = broken_chunk((*queries)[i]);
    let drop_gradient = broken_chunk((*gradients)[i]);
    if (drop_query | drop_gradient) {
      let n = i * THREADS + thread;
      tiles[place + place_in_tile(n)] = select((*queries)[i], vec4u(), drop_query);
      tiles[place + QUERIES * STRIDE + place_in_tile(n)] = select((*gradients)[i], vec4u(), drop_gradient);
      atomicStore(&broken[parity], round + 1u);
      broken_queries[parity * QUERIES + n / CHUNKS] = round + 1u;
    }
#end
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let subgroup = thread / 32u;
  let lane = thread % 32u;
  let second = subgroup % 2u; // of the pair
  let of_values = second == 1u;
  let own_row = subgroup / 2u * OWN_ROWS;
  let key_head = group.x;
  let first_key = group.y * KEYS;
  let tile = queries_of_tile(first_key, KEYS);
  let start = tile.x / QUERIES * QUERIES;
  let blocks = select(0u, (tile.y - start + QUERIES - 1u) / QUERIES, tile.x < tile.y);
  let rounds = blocks * (p.heads / p.kv_heads);
  let last_head = (key_head + 1u) * (p.heads / p.kv_heads) - 1u;

  // The row of scores that this thread has a part of.
  let row = thread % KEYS;
  let part = thread / KEYS;
  let key = first_key + row;
  if (thread < 2u) {
    atomicStore(&broken[thread], 0u);
  }
  if (thread < 2u * QUERIES) {
    broken_queries[thread] = 0u;
  }

  // All that comes from storage before the first round is fetched together, or each piece would wait by itself.
#include "include/attention_fetch_own.wgsl" with first=own_keys, first_chunk=key_chunk, second=own_values, second_chunk=value_chunk, from=first_key, head=key_head
  var own: array<Left, {{ROW_FRAGMENTS}} * DEPTH_FRAGMENTS>;
#unroll stage in 0..{{STAGES}}
#include "include/attention_stage.wgsl" with through=tiles, from=own_keys, owner=!of_values, to=own
#include "include/attention_stage.wgsl" with through=tiles, from=own_values, owner=of_values, to=own
#end

  var sums: array<Sums, {{ROW_FRAGMENTS}} * SUMS>;
  var queries: Fetched;
  var gradients: Fetched;
  // What is fetched: the head, the first query, and the greatest start and least end of the ranges of its queries.
  var head = key_head * (p.heads / p.kv_heads);
  var first = start;
  var seen_by_all = vec2u();
  // Each of the first QUERIES threads has those of one query.
  var statistic = vec2f();
  var parity = 0u;
  var whole = false;
  var scored = first; // the first query of the scores in workgroup memory
  if (rounds > 0u) {
    fetch(&queries, &gradients, first, head, thread);
    seen_by_all = keys_of_block(first / ROWS).zw;
    statistic = statistics_read[head * p.queries + min(first + thread % QUERIES, p.queries - 1u)];
    whole = (first + QUERIES <= p.queries) & (first_key >= seen_by_all.x) & (first_key + KEYS <= seen_by_all.y);
    put(&queries, &gradients, whole, 0u, parity, thread);
#include "include/attention_keys_statistics.wgsl" with of=statistic
    workgroupBarrier();
#include "include/attention_keys_begin.wgsl" with place=0u
  }

  // A round finishes what the one before began, in one piece with what it begins: a condition between the two would keep
  // the compiler from mixing their products. So the last round begins one for nothing.
  for (var round = 1u; round <= rounds; round++) {
    workgroupBarrier();
    parity = 1u - parity;
    var weights: array<vec4f, PART / 4u>;
    var slopes: array<vec4f, PART / 4u>;
    let first_quad = ((1u - parity) * QUERIES + part * PART) / 4u;
#unroll i in 0..{{PART_QUADS}}
    let at = row * PAIR_STRIDE + part * (PART / 4u) + i;
    weights[i] = exp2(bitcast<vec4f>(pairs[at]) * (p.scale * LOG2_E) - log_sums[first_quad + i]);
    slopes[i] = weights[i] * (bitcast<vec4f>(pairs[at + QUERIES / 4u]) - deltas[first_quad + i]);
#end
    var nans = 0u;
    if (!whole) {
#unroll i in 0..{{PART_QUADS}}
      let query = scored + part * PART + i * 4u;
      let seen = vec4<bool>(sees(query, key), sees(query + 1u, key), sees(query + 2u, key), sees(query + 3u, key));
      weights[i] = select(vec4f(), weights[i], seen);
      slopes[i] = select(vec4f(), slopes[i], seen);
#end
      if (atomicLoad(&broken[1u - parity]) == round) {
        for (var n = 0u; n < PART; n++) {
          let is_broken = broken_queries[4u * first_quad + n] == round;
          nans = select(nans, NANS, is_broken & sees(scored + part * PART + n, key));
        }
      }
    }
#unroll i in 0..{{PART_CHUNKS}}
    let place = weight_place(row, part * (PART / 8u) + i);
    pairs[place] = pack_small(weights[2u * i], weights[2u * i + 1u]) | vec4u(nans);
    pairs[place + QUERIES / 4u] = pack_small(slopes[2u * i], slopes[2u * i + 1u]) | vec4u(nans);
#end
    whole = (first + QUERIES <= p.queries) & (first_key >= seen_by_all.x) & (first_key + KEYS <= seen_by_all.y);
    if (PLACES == 2u) {
      put(&queries, &gradients, whole, round, parity, thread);
    }
#include "include/attention_keys_statistics.wgsl" with of=statistic
    workgroupBarrier();
    let others = (1u - parity) % PLACES * PLACE + (1u - second) * QUERIES * STRIDE;
    let left_at = second * (QUERIES / 4u) + 1u;
#include "include/attention_collect.wgsl" with sums=sums, columns=SUMS, array=pairs, weights=left_at, step=4u, stride=PAIR_STRIDE, rows=others, column=0u
    if (PLACES == 1u) {
      workgroupBarrier();
      put(&queries, &gradients, whole, round, parity, thread);
      workgroupBarrier();
    }
#include "include/attention_keys_begin.wgsl" with place=parity
  }

#unroll pair in 0..{{SUM_PAIRS}}
#include "include/attention_leave.wgsl" with array=pairs, sums=sums, columns=SUMS
  #unroll odd in 0..2
  #unroll r in 0..{{ROW_FRAGMENTS}}
#include "include/attention_own_sums.wgsl" with array=pairs
  if (first_key + of_row < p.keys) {
    let chunk = ((first_key + of_row) * p.kv_heads + key_head) * CHUNKS + c * 2u + lane % 2u;
    let scale = select(1.0, p.scale, second == 1u);
    let words = pack_eight(low * scale, high * scale);
    if (second == 1u) {
      y[chunk] = words;
    } else {
      y2[chunk] = words;
    }
  }
  #end
  #end
#end
}
