// Softmax attention on matrix units: the forward pass of attention.wgsl for heads of 64 or 128 halves.
//
// A workgroup owns QUERIES rows of one head, as fragments in registers, and walks over KEYS keys at a time. Its
// subgroups share the work as ROW_GROUPS × COLUMN_GROUPS: of the scores each computes some rows and some keys, of the
// outputs the same rows and some columns. A round is two phases with a barrier before each:
//   1. Scores from workgroup memory to weights in workgroup memory, a few keys of one row a thread; meanwhile values
//      of this round and keys of the next go from registers to workgroup memory.
//   2. outputs += weights · values, and scores of the next round, in one piece, which lets the compiler mix their
//      products; the values and keys after those are fetched.
//
// Sums on matrix units cannot be scaled row by row. So weights are exp(score − base), where a row's base is raised to
// the greatest score only when a score exceeds it by more than 8: until then weights stay below e^8, which f16 holds.
// The first bases come from the first scores; a raise is rare, sends the sums through workgroup memory and begins the round
// again. A base is rounded as all numbers are. Its error is a factor that all weights of the row have, and so their sum, by
// which they are divided; only beyond scores of 5e7 is it so large that weights leave the range of f16.
//
// A key outside a query's range has the weight 0, but 0 · NaN is NaN: where not all rows see all keys, a value that is
// not finite is replaced by 0, and rows that do see it become NaN as a whole.
//
// Clocks per score of an H100 core, WIDTH 128, 128 × 32, 4 × 2 subgroups: products 512 FLOPs / 2560 a clock = 0.20; exp2
// 0.06; workgroup memory 128 bytes a clock: keys 8 + values 8 + scores 4 written at half speed, 4 read + weights 2 + 4 +
// tiles 4 = 38 bytes or 0.30. It takes 0.64: the phases follow each other, and eight subgroups, which is what a core's
// workgroup memory holds, do not hide them; sixteen with half the rows each read keys and values twice as often, which costs
// more, and two workgroups of four have twice as many barriers (0.70).
#include "include/fragments_{{UNITS}}.wgsl"
#include "include/attention_fragments.wgsl"
@group(0) @binding(2) var<storage, read> q: array<vec4u>;
@group(0) @binding(3) var<storage, read> k: array<vec4u>;
@group(0) @binding(4) var<storage, read> v: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4u>;
// Natural logarithm of the sum of exponentials of each query's scores, [heads, queries].
@group(0) @binding(6) var<storage, read_write> log_sum: array<f32>;

const QUERIES = {{QUERIES}}u;
const KEYS = {{KEYS}}u;
const ROW_GROUPS = {{ROW_GROUPS}}u;
const COLUMN_GROUPS = {{COLUMN_GROUPS}}u;
const THREADS = 32u * ROW_GROUPS * COLUMN_GROUPS;
const OWN_ROWS = QUERIES / ROW_GROUPS;
const OWN_KEYS = KEYS / COLUMN_GROUPS;
const OWN_COLUMNS = WIDTH / COLUMN_GROUPS;
const DEPTH_FRAGMENTS = WIDTH / 16u;
const OUTPUTS = OWN_COLUMNS / 16u; // fragments in a row of a subgroup's outputs
const PARTS = THREADS / QUERIES; // threads that share a row of scores
const PART = KEYS / PARTS;
const LOADS = KEYS * CHUNKS / THREADS;
// A row holds KEYS scores, then KEYS weights.
const SCORE_STRIDE = KEYS / 4u + KEYS / 8u + 1u;
const WEIGHTS = KEYS / 4u;
// Where values lie in `tiles`.
const VALUES = KEYS * STRIDE;
const STAGED = {{STAGED}}u; // rows of queries that fit where scores go
const_assert STAGED % OWN_ROWS == 0u;

// In units of log2: how far a score may exceed its row's base.
const SLACK = 8.0 * LOG2_E;
// Times the factor of scores: the base of a row that has seen no key, below all that products of halves can reach. A score
// that is not seen is LOWEST, its weight 0 against every base that is finite.
const NO_BASE = -1.0e30;
const LARGEST_FACTOR = 1.0e8; // that NO_BASE can be multiplied by; scores with a larger one do not come near either

// Tiles, at the end a column of fragments of each subgroup's outputs.
var<workgroup> tiles: array<vec4u, max(2u * VALUES, THREADS / 32u * {{ROW_FRAGMENTS}} * 64u)>;
// Scores (f32) and weights (f16); before the first round queries, in a raise and at the end a column of fragments of each
// subgroup's outputs, which have room there where a fragment of scores has it.
const_assert OWN_KEYS % 16u == 0u;
var<workgroup> scores: array<vec4u, QUERIES * SCORE_STRIDE>;
#include "include/left_halves_{{UNITS}}.wgsl" with name=tiles
#include "include/right_halves_{{UNITS}}.wgsl" with name=tiles
#include "include/sums_{{UNITS}}.wgsl" with name=tiles
#include "include/left_halves_{{UNITS}}.wgsl" with name=scores
#include "include/sums_{{UNITS}}.wgsl" with name=scores
var<workgroup> shared_parts: array<f32, THREADS>;
var<workgroup> factors: array<f32, QUERIES>;
// 2 · round if a base must be raised in that round, 2 · round + 1 if that of a row which has sums.
var<workgroup> raise: atomic<u32>;
// One past the last key of the last round in which a value was not finite.
var<workgroup> broken: atomic<u32>;

// The last query or key stands for those beyond it: a condition around a load would cost more than the load. Outputs of such
// queries are not written, weights of such keys are 0.
fn query_chunk(query: u32, head: u32, chunk: u32) -> vec4u {
  return q[(min(query, p.queries - 1u) * p.heads + head) * CHUNKS + chunk];
}

fn key_chunk(key: u32, head: u32, chunk: u32, end: u32) -> vec4u {
  return k[(min(key, end - 1u) * p.kv_heads + head) * CHUNKS + chunk];
}

fn value_chunk(key: u32, head: u32, chunk: u32, end: u32) -> vec4u {
  return v[(min(key, end - 1u) * p.kv_heads + head) * CHUNKS + chunk];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let subgroup = thread / 32u;
  let lane = thread % 32u;
  let own_row = subgroup / COLUMN_GROUPS * OWN_ROWS;
  let own_key = subgroup % COLUMN_GROUPS * OWN_KEYS;
  let own_column = subgroup % COLUMN_GROUPS * OWN_COLUMNS;
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
  // Not negative: the sign of the scale is that of the queries here, and the greatest score has the greatest product. At 0
  // all that is seen has the same weight, too.
  let factor_of_scores = max(abs(p.scale) * LOG2_E, 1.0e-30);
  let sign = select(0u, 0x80008000u, p.scale < 0.0);
  let no_base = NO_BASE * min(factor_of_scores, LARGEST_FACTOR);
  var base = no_base;
  var sum = 0.0;
  var spoiled = false; // by a value that is not finite
  if (thread == 0u) {
    atomicStore(&raise, 0u);
    atomicStore(&broken, 0u);
  }

  // All that comes from storage before the first round is fetched together, or each piece would wait by itself.
#array own_queries: vec4u, {{STAGES}}, {{STAGE_LOADS}}
  var first_keys: array<vec4u, LOADS>;
  var next_keys: array<vec4u, LOADS>;
  var next_values: array<vec4u, LOADS>;
#unroll stage in 0..{{STAGES}}
#unroll i in 0..{{STAGE_LOADS}}
  let n = i * THREADS + thread;
  own_queries[stage][i] = query_chunk(first_query + stage * STAGED + n / CHUNKS, head, n % CHUNKS) ^ vec4u(sign);
#end
#end
#unroll i in 0..{{LOADS}}
  let n = i * THREADS + thread;
  let key = tile.x + n / CHUNKS;
  first_keys[i] = key_chunk(key, key_head, n % CHUNKS, end);
  next_values[i] = value_chunk(key, key_head, n % CHUNKS, end);
  next_keys[i] = key_chunk(key + KEYS, key_head, n % CHUNKS, end);
#end
  // The keys at once: what is stored later the compiler fetches later.
#unroll i in 0..{{LOADS}}
  tiles[place_in_tile(i * THREADS + thread)] = first_keys[i];
#end
  var queries: array<Left, {{ROW_FRAGMENTS}} * DEPTH_FRAGMENTS>;
#unroll stage in 0..{{STAGES}}
#include "include/attention_stage.wgsl" with through=scores, from=own_queries, owner=true, to=queries
#end
  var outputs: array<Sums, {{ROW_FRAGMENTS}} * OUTPUTS>;

  var round = 0u;
  var first = tile.x;
#include "include/attention_forward_scores.wgsl" with keys=0u
  workgroupBarrier();
#include "include/attention_forward_bases.wgsl"
  while (first < tile.y) {
    workgroupBarrier();
    var own: array<vec4f, PART / 4u>;
#unroll i in 0..{{PART_QUADS}}
    own[i] = bitcast<vec4f>(scores[row * SCORE_STRIDE + part * (PART / 4u) + i]);
#end
    // While the scores are on their way.
#unroll i in 0..{{LOADS}}
    let place = place_in_tile(i * THREADS + thread);
    tiles[VALUES + place] = next_values[i];
    tiles[place] = next_keys[i];
#end
    // What is done only where not all rows see all keys is behind a condition, and no load of the common case is.
    let whole = (first >= tile.z) & (first + KEYS <= tile.w);
    if (!whole) {
#unroll i in 0..{{PART_QUADS}}
      let key = first + part * PART + i * 4u + vec4u(0u, 1u, 2u, 3u);
      own[i] = select(vec4f(LOWEST), own[i], is_seen(key, range));
#end
#unroll i in 0..{{LOADS}}
      if (broken_chunk(next_values[i])) {
        tiles[VALUES + place_in_tile(i * THREADS + thread)] = vec4u();
        atomicStore(&broken, first + KEYS);
      }
#end
    }
    var top = LOWEST;
#unroll i in 0..{{PART_QUADS}}
    top = max(top, max(max(own[i].x, own[i].y), max(own[i].z, own[i].w)));
#end
    top *= factor_of_scores;
    round++;
    if (top > base + SLACK) {
      atomicMax(&raise, 2u * round + select(0u, 1u, base > no_base));
    }
    var added = vec4f();
#unroll i in 0..{{PART_CHUNKS}}
    let low = exp2(fma(own[2u * i], vec4f(factor_of_scores), vec4f(-base)));
    let high = exp2(fma(own[2u * i + 1u], vec4f(factor_of_scores), vec4f(-base)));
    scores[row * SCORE_STRIDE + WEIGHTS + part * (PART / 8u) + i] = pack_small(low, high);
    added += low + high;
#end
    let raised = workgroupUniformLoad(&raise);
    // A rare case that begins the round again: what it changes must not meet what the common case has, or the compiler moves
    // all sums from register to register in each round.
    if (raised >= 2u * round) {
#include "include/attention_forward_raise.wgsl"
      continue;
    }
    sum += total(added);
    if (!whole && atomicLoad(&broken) == first + KEYS) {
      for (var n = max(first, range.x) * CHUNKS; n < min(first + KEYS, range.y) * CHUNKS; n++) {
        spoiled = spoiled || broken_chunk(value_chunk(n / CHUNKS, key_head, n % CHUNKS, end));
      }
    }
#unroll i in 0..{{LOADS}}
    let n = i * THREADS + thread;
    let key = first + KEYS + n / CHUNKS;
    next_values[i] = value_chunk(key, key_head, n % CHUNKS, end);
    next_keys[i] = key_chunk(key + KEYS, key_head, n % CHUNKS, end);
#end
#include "include/attention_collect.wgsl" with sums=outputs, columns=OUTPUTS, array=scores, weights=WEIGHTS, step=2u, stride=SCORE_STRIDE, rows=VALUES, column=own_column
    // After the last round these are scores of the last key again, for nothing.
#include "include/attention_forward_scores.wgsl" with keys=0u
    first += KEYS;
  }

  shared_parts[thread] = sum;
  workgroupBarrier();
  sum = 0.0;
  for (var other = 0u; other < PARTS; other++) {
    sum += shared_parts[other * QUERIES + row];
  }
  let empty = range.x >= range.y;
  factors[row] = spoil(vec4f(select(1.0 / sum, 0.0, empty)), vec4<bool>(spoiled)).x;
  if (part == 0u && first_query + row < p.queries) {
    log_sum[head * p.queries + first_query + row] = select((base + log2(sum)) * LN_2, 0.0, empty);
  }
#unroll pair in 0..{{SUM_PAIRS}}
#include "include/attention_leave.wgsl" with array=scores, sums=outputs, columns=OUTPUTS
  #unroll odd in 0..2
  #unroll r in 0..{{ROW_FRAGMENTS}}
#include "include/attention_own_sums.wgsl" with array=scores
  if (first_query + of_row < p.queries) {
    let chunk = ((first_query + of_row) * p.heads + head) * CHUNKS + (own_column + c * 16u) / 8u + lane % 2u;
    let factor = factors[of_row];
    y[chunk] = pack_eight(low * factor, high * factor);
  }
  #end
  #end
#end
}
