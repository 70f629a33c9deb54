// Softmax attention without workgroup memory: a thread for each query, or for each key in `gradient_keys`.
//
// The sibling of attention.wgsl that runs on any device and compiles in a moment: software drivers, which turn a kernel
// with barriers into coroutines, need half a minute for one of the tiled kernels. All threads of a workgroup read the
// same row of the other side at a time, which a processor with SIMD registers broadcasts. Order of additions and
// treatment of keys outside a query's range are those of attention.wgsl.
#include "include/attention_ranges.wgsl"
#include "include/read_{{READ}}_{{X}}.wgsl" with name=q, binding=2
#include "include/read_{{READ}}_{{X}}.wgsl" with name=k, binding=3
#include "include/read_{{READ}}_{{X}}.wgsl" with name=v, binding=4
#include "include/read_{{READ}}_{{X}}.wgsl" with name=grad, binding=5
#include "include/write_{{READ}}_{{Y}}.wgsl" with name=y, binding=6
#include "include/write_{{READ}}_{{Y}}.wgsl" with name=y2, binding=7
// As in attention.wgsl.
@group(0) @binding(8) var<storage, read_write> log_sum: array<f32>;
@group(0) @binding(8) var<storage, read> statistics_read: array<vec2f>;

// Loops over the vec4s of a row end at {{QUADS}}: a constant, so that they are unrolled, where heads are small, and p.quads
// where unrolling costs a compiler more than it gains. Arrays of more than 32 elements are never unrolled for their size.
const ROOM = max((WIDTH + 3u) / 4u, 33u);

@compute @workgroup_size(ROWS)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let key_head = head / (p.heads / p.kv_heads);
  let query = group.x * ROWS + lane;
  let own = keys_of(query);
  let own_base = (min(query, p.queries - 1u) * p.heads + head) * WIDTH;
  var a: array<vec4f, ROOM>;
  var sums: array<vec4f, ROOM>;
  for (var c = 0u; c < p.quads; c++) {
    a[c] = q_quad(own_base, c, WIDTH) * p.scale;
  }
  var highest = LOWEST;
  var sum = 0.0;
  let block = keys_of_block(group.x);
  for (var key = block.x; key < block.y; key++) {
    let base = (key * p.kv_heads + key_head) * WIDTH;
    let seen = key >= own.x && key < own.y;
    var product = vec4f();
    for (var c = 0u; c < {{QUADS}}; c++) {
      product = fma(a[c], k_quad(base, c, WIDTH), product);
    }
    let score = total(product);
    let higher = max(highest, select(LOWEST, score, seen));
    let shrink = select(exp(highest - higher), 1.0, higher == highest);
    highest = higher;
    let weight = select(0.0, exp(score - highest), seen);
    sum = sum * shrink + weight;
    for (var c = 0u; c < {{QUADS}}; c++) {
      sums[c] = fma(vec4f(weight), select(vec4f(), v_quad(base, c, WIDTH), seen), sums[c] * shrink);
    }
  }
  if (query >= p.queries) {
    return;
  }
  let empty = own.x >= own.y;
  for (var c = 0u; c < p.quads; c++) {
    y_put_quad(own_base, c, WIDTH, select(sums[c] / sum, vec4f(), empty));
  }
  log_sum[head * p.queries + query] = select(highest + log(sum), 0.0, empty);
}

@compute @workgroup_size(ROWS)
fn gradient_queries(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let key_head = head / (p.heads / p.kv_heads);
  let query = group.x * ROWS + lane;
  let own = keys_of(query);
  let own_base = (min(query, p.queries - 1u) * p.heads + head) * WIDTH;
  let statistic = statistics_read[head * p.queries + min(query, p.queries - 1u)];
  var a: array<vec4f, ROOM>;
  var b: array<vec4f, ROOM>;
  var sums: array<vec4f, ROOM>;
  for (var c = 0u; c < p.quads; c++) {
    a[c] = q_quad(own_base, c, WIDTH) * p.scale;
    b[c] = grad_quad(own_base, c, WIDTH);
  }
  let block = keys_of_block(group.x);
  for (var key = block.x; key < block.y; key++) {
    let base = (key * p.kv_heads + key_head) * WIDTH;
    let seen = key >= own.x && key < own.y;
    var product = vec4f();
    var slopes = vec4f();
    for (var c = 0u; c < {{QUADS}}; c++) {
      product = fma(a[c], k_quad(base, c, WIDTH), product);
      slopes = fma(b[c], v_quad(base, c, WIDTH), slopes);
    }
    let slope = select(0.0, exp(total(product) - statistic.x) * (total(slopes) - statistic.y), seen);
    for (var c = 0u; c < {{QUADS}}; c++) {
      sums[c] = fma(vec4f(slope), select(vec4f(), k_quad(base, c, WIDTH), seen), sums[c]);
    }
  }
  if (query >= p.queries) {
    return;
  }
  for (var c = 0u; c < p.quads; c++) {
    y_put_quad(own_base, c, WIDTH, sums[c] * p.scale);
  }
}

@compute @workgroup_size(ROWS)
fn gradient_keys(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let key = group.x * ROWS + lane;
  let own_base = (min(key, p.keys - 1u) * p.kv_heads + group.y) * WIDTH;
  var a: array<vec4f, ROOM>;
  var b: array<vec4f, ROOM>;
  var key_sums: array<vec4f, ROOM>;
  var value_sums: array<vec4f, ROOM>;
  for (var c = 0u; c < p.quads; c++) {
    a[c] = k_quad(own_base, c, WIDTH) * p.scale;
    b[c] = v_quad(own_base, c, WIDTH);
  }
  let sharers = p.heads / p.kv_heads;
  let queries = queries_of_block(group.x);
  for (var head = group.y * sharers; head < (group.y + 1u) * sharers; head++) {
    for (var query = queries.x; query < queries.y; query++) {
      let base = (query * p.heads + head) * WIDTH;
      let range = keys_of(query);
      let seen = key >= range.x && key < range.y;
      let statistic = statistics_read[head * p.queries + query];
      var product = vec4f();
      var slopes = vec4f();
      for (var c = 0u; c < {{QUADS}}; c++) {
        product = fma(a[c], q_quad(base, c, WIDTH), product);
        slopes = fma(b[c], grad_quad(base, c, WIDTH), slopes);
      }
      let weight = select(0.0, exp(total(product) - statistic.x), seen);
      let slope = select(0.0, weight * (total(slopes) - statistic.y), seen);
      for (var c = 0u; c < {{QUADS}}; c++) {
        key_sums[c] = fma(vec4f(slope), select(vec4f(), q_quad(base, c, WIDTH), seen), key_sums[c]);
        value_sums[c] = fma(vec4f(weight), select(vec4f(), grad_quad(base, c, WIDTH), seen), value_sums[c]);
      }
    }
  }
  if (key >= p.keys) {
    return;
  }
  for (var c = 0u; c < p.quads; c++) {
    y_put_quad(own_base, c, WIDTH, key_sums[c] * p.scale);
    y2_put_quad(own_base, c, WIDTH, value_sums[c]);
  }
}
