// Softmax attention in tiles (Dao, "FlashAttention-2", arXiv:2307.08691): nothing of size queries × keys is stored.
// q, o and their gradients are [queries, heads, WIDTH]; k, v and theirs [keys, kv_heads, WIDTH]; all sums in f32.
//
// A key outside a query's range never takes part in arithmetic: its weight and its row are replaced by zero with
// select before they are used, so that a NaN or Inf in one document stays there. A query's sums run over its keys in
// order, one after the other: the bits of a document's results do not depend on its place or its neighbours.
//
// attention_plain.wgsl is the sibling without workgroup memory.
#include "include/attention_layout.wgsl"
#include "include/read_{{READ}}_{{X}}.wgsl" with name=q, binding=2
#include "include/read_{{READ}}_{{X}}.wgsl" with name=k, binding=3
#include "include/read_{{READ}}_{{X}}.wgsl" with name=v, binding=4
#include "include/read_{{READ}}_{{X}}.wgsl" with name=grad, binding=5
#include "include/write_{{READ}}_{{Y}}.wgsl" with name=y, binding=6
#include "include/write_{{READ}}_{{Y}}.wgsl" with name=y2, binding=7
#include "include/read_{{READ}}_{{X}}.wgsl" with name=o, binding=2
// Natural logarithm of the sum of exponentials of each query's scores, [heads, queries].
@group(0) @binding(8) var<storage, read_write> log_sum: array<f32>;
@group(0) @binding(3) var<storage, read> log_sum_saved: array<f32>;
// For each [head, query] its log_sum and the dot product of the output and its gradient.
@group(0) @binding(8) var<storage, read_write> statistics: array<vec2f>;
@group(0) @binding(8) var<storage, read> statistics_read: array<vec2f>;

// Tiles of the other side: keys and values, or queries and output gradients.
var<workgroup> tile_a: array<vec4f, STEP * ROW>;
var<workgroup> tile_b: array<vec4f, STEP * ROW>;
var<workgroup> tile_statistics: array<vec2f, STEP>;
var<workgroup> tile_ranges: array<vec2u, STEP>;
// Dot products of each of PARTS threads, STEP rows of the tile and ROWS own rows; complete ones lie at part 0.
var<workgroup> scores: array<f32, PARTS * STEP * ROWS>;
var<workgroup> pairs: array<vec2f, PARTS * STEP * ROWS>;

fn slot(part: u32, step: u32, row: u32) -> u32 {
  return (part * STEP + step) * ROWS + row;
}

fn load_keys(first: u32, head: u32, thread: u32) {
  for (var n = thread; n < STEP * ROW; n += THREADS) {
    let key = first + n / ROW;
    let c = n % ROW;
    var a = vec4f();
    var b = vec4f();
    if (key < p.keys && c * 4u < WIDTH) {
      let base = (key * p.kv_heads + head) * WIDTH;
      a = k_quad(base, c, WIDTH);
      b = v_quad(base, c, WIDTH);
    }
    tile_a[n] = a;
    tile_b[n] = b;
  }
}

fn load_queries(first: u32, head: u32, thread: u32) {
  for (var n = thread; n < STEP * ROW; n += THREADS) {
    let query = first + n / ROW;
    let c = n % ROW;
    var a = vec4f();
    var b = vec4f();
    if (query < p.queries && c * 4u < WIDTH) {
      let base = (query * p.heads + head) * WIDTH;
      a = q_quad(base, c, WIDTH);
      b = grad_quad(base, c, WIDTH);
    }
    tile_a[n] = a;
    tile_b[n] = b;
  }
  for (var n = thread; n < STEP; n += THREADS) {
    let query = first + n;
    tile_ranges[n] = keys_of(query);
    tile_statistics[n] = statistics_read[head * p.queries + min(query, p.queries - 1u)];
  }
}

// Adds up the parts of every score of the tile: part after part, each thread some steps of its own rows.
fn combine_scores(part: u32, lane: u32) {
  for (var n = part; n < STEP * OWN; n += PARTS) {
    let row = n / STEP * LANES + lane;
    var score = scores[slot(0u, n % STEP, row)];
    for (var other = 1u; other < PARTS; other++) {
      score += scores[slot(other, n % STEP, row)];
    }
    scores[slot(0u, n % STEP, row)] = score;
  }
}

// The same for pairs of dot products.
fn combine_pairs(part: u32, lane: u32) {
  for (var n = part; n < STEP * OWN; n += PARTS) {
    let row = n / STEP * LANES + lane;
    var pair = pairs[slot(0u, n % STEP, row)];
    for (var other = 1u; other < PARTS; other++) {
      pair += pairs[slot(other, n % STEP, row)];
    }
    pairs[slot(0u, n % STEP, row)] = pair;
  }
}

// One workgroup for 32 queries of one head.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % LANES;
  let part = thread / LANES;
  let head = group.y;
  var a: array<vec4f, OWN * VECS>;
  var sums: array<vec4f, OWN * VECS>;
  var highest: array<f32, OWN>;
  var sum: array<f32, OWN>;
  var own: array<vec2u, OWN>;
  for (var r = 0u; r < OWN; r++) {
    let query = group.x * ROWS + r * LANES + lane;
    own[r] = keys_of(query);
    highest[r] = LOWEST;
    for (var c = 0u; c < VECS; c++) {
      let column = part * VECS + c;
      if (query < p.queries && column * 4u < WIDTH) {
        a[r * VECS + c] = q_quad((query * p.heads + head) * WIDTH, column, WIDTH) * p.scale;
      }
    }
  }
  let block = keys_of_block(group.x);
  for (var first = block.x / STEP * STEP; first < block.y; first += STEP) {
    load_keys(first, head / (p.heads / p.kv_heads), thread);
    workgroupBarrier();
    for (var step = 0u; step < STEP; step++) {
      var score = array<vec4f, OWN>();
      for (var c = 0u; c < VECS; c++) {
        let key4 = tile_a[step * ROW + part * VECS + c];
        for (var r = 0u; r < OWN; r++) {
          score[r] = fma(a[r * VECS + c], key4, score[r]);
        }
      }
      for (var r = 0u; r < OWN; r++) {
        scores[slot(part, step, r * LANES + lane)] = total(score[r]);
      }
    }
    if (PARTS > 1u) {
      workgroupBarrier();
      combine_scores(part, lane);
      workgroupBarrier();
    }
    let whole = first >= block.z && first + STEP <= block.w;
    for (var step = 0u; step < STEP; step++) {
      let key = first + step;
      var weight: array<f32, OWN>;
      for (var r = 0u; r < OWN; r++) {
        let seen = whole || (key >= own[r].x && key < own[r].y);
        let score = scores[slot(0u, step, r * LANES + lane)];
        // Key by key and not tile by tile: where tiles begin depends on the neighbours in the row, bits must not.
        if (seen && score > highest[r]) {
          let shrink = exp(highest[r] - score);
          highest[r] = score;
          sum[r] *= shrink;
          for (var c = 0u; c < VECS; c++) {
            sums[r * VECS + c] *= shrink;
          }
        }
        weight[r] = select(0.0, exp(score - highest[r]), seen);
        sum[r] += weight[r];
      }
      if (whole) {
        for (var c = 0u; c < VECS; c++) {
          let value4 = tile_b[step * ROW + part * VECS + c];
          for (var r = 0u; r < OWN; r++) {
            sums[r * VECS + c] = fma(vec4f(weight[r]), value4, sums[r * VECS + c]);
          }
        }
      } else {
        for (var c = 0u; c < VECS; c++) {
          let value4 = tile_b[step * ROW + part * VECS + c];
          for (var r = 0u; r < OWN; r++) {
            let seen = key >= own[r].x && key < own[r].y;
            sums[r * VECS + c] = fma(vec4f(weight[r]), select(vec4f(), value4, seen), sums[r * VECS + c]);
          }
        }
      }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < OWN; r++) {
    let query = group.x * ROWS + r * LANES + lane;
    if (query >= p.queries) {
      continue;
    }
    let empty = own[r].x >= own[r].y;
    for (var c = 0u; c < VECS; c++) {
      let column = part * VECS + c;
      if (column * 4u < WIDTH) {
        let mean = select(sums[r * VECS + c] / sum[r], vec4f(), empty);
        y_put_quad((query * p.heads + head) * WIDTH, column, WIDTH, mean);
      }
    }
    if (part == 0u) {
      log_sum[head * p.queries + query] = select(highest[r] + log(sum[r]), 0.0, empty);
    }
  }
}

// One thread for a query of one head.
@compute @workgroup_size(64)
fn output_products(@builtin(global_invocation_id) id: vec3u) {
  let query = id.x;
  let head = id.y;
  if (query >= p.queries) {
    return;
  }
  let base = (query * p.heads + head) * WIDTH;
  var product = vec4f();
  for (var c = 0u; c * 4u < WIDTH; c++) {
    product = fma(o_quad(base, c, WIDTH), grad_quad(base, c, WIDTH), product);
  }
  let at = head * p.queries + query;
  statistics[at] = vec2f(log_sum_saved[at], total(product));
}

// One workgroup for 32 queries of one head: dq_i = scale · Σ_j weight_ij · (do_i·v_j − do_i·o_i) · k_j.
@compute @workgroup_size(THREADS)
fn gradient_queries(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % LANES;
  let part = thread / LANES;
  let head = group.y;
  var a: array<vec4f, OWN * VECS>;
  var b: array<vec4f, OWN * VECS>;
  var sums: array<vec4f, OWN * VECS>;
  var own: array<vec2u, OWN>;
  var statistic: array<vec2f, OWN>;
  for (var r = 0u; r < OWN; r++) {
    let query = group.x * ROWS + r * LANES + lane;
    let base = (query * p.heads + head) * WIDTH;
    own[r] = keys_of(query);
    statistic[r] = statistics_read[head * p.queries + min(query, p.queries - 1u)];
    for (var c = 0u; c < VECS; c++) {
      let column = part * VECS + c;
      if (query < p.queries && column * 4u < WIDTH) {
        a[r * VECS + c] = q_quad(base, column, WIDTH) * p.scale;
        b[r * VECS + c] = grad_quad(base, column, WIDTH);
      }
    }
  }
  let block = keys_of_block(group.x);
  for (var first = block.x / STEP * STEP; first < block.y; first += STEP) {
    load_keys(first, head / (p.heads / p.kv_heads), thread);
    workgroupBarrier();
    for (var step = 0u; step < STEP; step++) {
      var score = array<vec4f, OWN>();
      var slope = array<vec4f, OWN>();
      for (var c = 0u; c < VECS; c++) {
        let key4 = tile_a[step * ROW + part * VECS + c];
        let value4 = tile_b[step * ROW + part * VECS + c];
        for (var r = 0u; r < OWN; r++) {
          score[r] = fma(a[r * VECS + c], key4, score[r]);
          slope[r] = fma(b[r * VECS + c], value4, slope[r]);
        }
      }
      for (var r = 0u; r < OWN; r++) {
        pairs[slot(part, step, r * LANES + lane)] = vec2f(total(score[r]), total(slope[r]));
      }
    }
    if (PARTS > 1u) {
      workgroupBarrier();
      combine_pairs(part, lane);
      workgroupBarrier();
    }
    let whole = first >= block.z && first + STEP <= block.w;
    for (var step = 0u; step < STEP; step++) {
      let key = first + step;
      var slope: array<f32, OWN>;
      for (var r = 0u; r < OWN; r++) {
        let seen = whole || (key >= own[r].x && key < own[r].y);
        let pair = pairs[slot(0u, step, r * LANES + lane)];
        slope[r] = select(0.0, exp(pair.x - statistic[r].x) * (pair.y - statistic[r].y), seen);
      }
      if (whole) {
        for (var c = 0u; c < VECS; c++) {
          let key4 = tile_a[step * ROW + part * VECS + c];
          for (var r = 0u; r < OWN; r++) {
            sums[r * VECS + c] = fma(vec4f(slope[r]), key4, sums[r * VECS + c]);
          }
        }
      } else {
        for (var c = 0u; c < VECS; c++) {
          let key4 = tile_a[step * ROW + part * VECS + c];
          for (var r = 0u; r < OWN; r++) {
            let seen = key >= own[r].x && key < own[r].y;
            sums[r * VECS + c] = fma(vec4f(slope[r]), select(vec4f(), key4, seen), sums[r * VECS + c]);
          }
        }
      }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < OWN; r++) {
    let query = group.x * ROWS + r * LANES + lane;
    for (var c = 0u; c < VECS; c++) {
      let column = part * VECS + c;
      if (query < p.queries && column * 4u < WIDTH) {
        y_put_quad((query * p.heads + head) * WIDTH, column, WIDTH, sums[r * VECS + c] * p.scale);
      }
    }
  }
}

// One workgroup for 32 keys of one key head; sums over the query heads of its group and their queries:
// dv_j = Σ_i weight_ij · do_i, dk_j = scale · Σ_i weight_ij · (do_i·v_j − do_i·o_i) · q_i.
@compute @workgroup_size(THREADS)
fn gradient_keys(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % LANES;
  let part = thread / LANES;
  var a: array<vec4f, OWN * VECS>;
  var b: array<vec4f, OWN * VECS>;
  var key_sums: array<vec4f, OWN * VECS>;
  var value_sums: array<vec4f, OWN * VECS>;
  for (var r = 0u; r < OWN; r++) {
    let key = group.x * ROWS + r * LANES + lane;
    let base = (key * p.kv_heads + group.y) * WIDTH;
    for (var c = 0u; c < VECS; c++) {
      let column = part * VECS + c;
      if (key < p.keys && column * 4u < WIDTH) {
        a[r * VECS + c] = k_quad(base, column, WIDTH) * p.scale;
        b[r * VECS + c] = v_quad(base, column, WIDTH);
      }
    }
  }
  let sharers = p.heads / p.kv_heads;
  let queries = queries_of_block(group.x);
  for (var head = group.y * sharers; head < (group.y + 1u) * sharers; head++) {
    for (var first = queries.x / STEP * STEP; first < queries.y; first += STEP) {
      load_queries(first, head, thread);
      workgroupBarrier();
      for (var step = 0u; step < STEP; step++) {
        var score = array<vec4f, OWN>();
        var slope = array<vec4f, OWN>();
        for (var c = 0u; c < VECS; c++) {
          let query4 = tile_a[step * ROW + part * VECS + c];
          let grad4 = tile_b[step * ROW + part * VECS + c];
          for (var r = 0u; r < OWN; r++) {
            score[r] = fma(a[r * VECS + c], query4, score[r]);
            slope[r] = fma(b[r * VECS + c], grad4, slope[r]);
          }
        }
        for (var r = 0u; r < OWN; r++) {
          pairs[slot(part, step, r * LANES + lane)] = vec2f(total(score[r]), total(slope[r]));
        }
      }
      if (PARTS > 1u) {
        workgroupBarrier();
        combine_pairs(part, lane);
        workgroupBarrier();
      }
      let block = keys_of_block(first / ROWS);
      let whole = group.x * ROWS >= block.z && (group.x + 1u) * ROWS <= block.w && first + STEP <= p.queries;
      for (var step = 0u; step < STEP; step++) {
        let range = tile_ranges[step];
        let statistic = tile_statistics[step];
        var weight: array<f32, OWN>;
        var slope: array<f32, OWN>;
        for (var r = 0u; r < OWN; r++) {
          let key = group.x * ROWS + r * LANES + lane;
          let seen = whole || (key >= range.x && key < range.y);
          let pair = pairs[slot(0u, step, r * LANES + lane)];
          weight[r] = select(0.0, exp(pair.x - statistic.x), seen);
          slope[r] = select(0.0, weight[r] * (pair.y - statistic.y), seen);
        }
        if (whole) {
          for (var c = 0u; c < VECS; c++) {
            let query4 = tile_a[step * ROW + part * VECS + c];
            let grad4 = tile_b[step * ROW + part * VECS + c];
            for (var r = 0u; r < OWN; r++) {
              key_sums[r * VECS + c] = fma(vec4f(slope[r]), query4, key_sums[r * VECS + c]);
              value_sums[r * VECS + c] = fma(vec4f(weight[r]), grad4, value_sums[r * VECS + c]);
            }
          }
        } else {
          for (var c = 0u; c < VECS; c++) {
            let query4 = tile_a[step * ROW + part * VECS + c];
            let grad4 = tile_b[step * ROW + part * VECS + c];
            for (var r = 0u; r < OWN; r++) {
              let key = group.x * ROWS + r * LANES + lane;
              let seen = key >= range.x && key < range.y;
              key_sums[r * VECS + c] = fma(vec4f(slope[r]), select(vec4f(), query4, seen), key_sums[r * VECS + c]);
              value_sums[r * VECS + c] = fma(vec4f(weight[r]), select(vec4f(), grad4, seen), value_sums[r * VECS + c]);
            }
          }
        }
      }
      workgroupBarrier();
    }
  }
  for (var r = 0u; r < OWN; r++) {
    let key = group.x * ROWS + r * LANES + lane;
    let base = (key * p.kv_heads + group.y) * WIDTH;
    for (var c = 0u; c < VECS; c++) {
      let column = part * VECS + c;
      if (key < p.keys && column * 4u < WIDTH) {
        y_put_quad(base, column, WIDTH, key_sums[r * VECS + c] * p.scale);
        y2_put_quad(base, column, WIDTH, value_sums[r * VECS + c]);
      }
    }
  }
}
