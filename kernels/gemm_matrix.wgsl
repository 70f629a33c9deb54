// y = alpha · (op(a) · op(b) + rider_a · op(rider_b)) + addend on matrix units: f16 operands, f32 sums.
//
// A workgroup of four subgroups computes TM × TN results, each subgroup WM × WN of them in 16 × 16 fragments: at
// 64 × 64 these are 128 of the 255 registers of an invocation. Tiles of a and b, DEPTH deep, go through workgroup
// memory as they lie in storage (the direction is told to the fragment loads), rows padded by 16 bytes against bank
// conflicts; the next tiles travel to registers while the current ones are multiplied. b may lie in storage tile after
// tile, which loads 8 % faster. Beyond the last row or column the last one is loaded again, and its results are not
// written; beyond the depth there are zeros. Results leave through workgroup memory, where they can be scaled, added
// and rounded. All fragments are named by constants: an array with a computed index leaves the registers, and the
// kernel is ten times slower.
#include "include/fragments_{{UNITS}}.wgsl"
#include "include/operand_{{A_EDGES}}.wgsl" with name=a, binding=1
#include "include/operand_{{B_EDGES}}.wgsl" with name=b, binding=2
#include "include/get8_{{Y_EDGES}}_{{C}}.wgsl" with name=addend, binding=3
#include "include/put8_{{Y_EDGES}}_{{Y}}.wgsl" with name=y, binding=4
#include "include/rider_{{RIDER}}.wgsl"

const TM = {{TM}}u;
const TN = {{TN}}u;
const WM = {{WM}}u;
const WN = {{WN}}u;
const DEPTH = 32u;
const INVOCATIONS = 128u;
const A_INNER = {{A_INNER}}u; // DEPTH if a is [m, k], TM if it is [k, m]
const B_INNER = {{B_INNER}}u; // DEPTH if b is [n, k], TN if it is [k, n]
const B_TILED = {{B_TILED}};
const A_ROW = A_INNER / 8u; // 16-byte chunks in a row of a tile
const B_ROW = B_INNER / 8u;
const A_STRIDE = A_ROW + 1u;
const B_STRIDE = B_ROW + 1u;
const A_CHUNKS = TM * DEPTH / 8u;
const B_CHUNKS = TN * DEPTH / 8u;
const RESULT_STRIDE = 5u; // vec4s of a row of results, padded

struct Params {
  m: u32,
  n: u32,
  k: u32,
  rider: u32, // depth of the rider
  tiles: u32, // tiles along k
  tiles_in_split: u32, // tiles that a workgroup takes, of these and the rider's
  splits: u32,
  a_batch: u32,
  b_batch: u32,
  y_row: u32,
  y_start: u32,
  has_addend: u32,
  alpha: f32,
  columns: u32, // workgroups along n
  rows: u32, // workgroups along m
}
@group(0) @binding(0) var<uniform> p: Params;

var<workgroup> a_tile: array<vec4u, A_CHUNKS / A_ROW * A_STRIDE>;
var<workgroup> b_tile: array<vec4u, B_CHUNKS / B_ROW * B_STRIDE>;
var<workgroup> results: array<vec4f, 4u * 16u * RESULT_STRIDE>;
#include "include/left_halves_{{UNITS}}.wgsl" with name=a_tile
#include "include/right_halves_{{UNITS}}.wgsl" with name=b_tile
#include "include/sums_{{UNITS}}.wgsl" with name=results

// Neighbouring workgroups share tiles in the cache: walk over the grid in bands of eight rows.
fn place_of(group: u32) -> vec2u {
  const BAND = 8u;
  let in_band = BAND * p.columns;
  let band = group / in_band;
  let height = min(BAND, p.rows - band * BAND);
  let within = group % in_band;
  return vec2u(band * BAND + within % height, within / height);
}

// Which chunk of a tile an invocation carries, first of those it carries: rows of four chunks are taken in an order in
// which the eight invocations that store together meet eight different banks.
fn chunk_of(lane: u32, row_chunks: u32) -> vec2u {
  if (row_chunks == 4u) {
    return vec2u(lane / 32u * 8u + lane % 32u / 8u + lane / 4u % 2u * 4u, lane % 4u);
  }
  return vec2u(lane / row_chunks, lane % row_chunks);
}

// Eight halves of a [rows, depth] from depth k on, of a row that may lie beyond the last; zeros beyond the depth.
fn a_chunk(start: u32, tile: u32, row: u32, outer: u32, inner: u32) -> vec4u {
  if (HAS_RIDER && tile >= p.tiles) {
    let r = (tile - p.tiles) * DEPTH + inner;
    if (r < p.rider) {
      return rider_a_halves(min(row + outer, p.m - 1u) * p.rider + r, p.rider - r);
    }
    return vec4u();
  }
  if (A_INNER == DEPTH) {
    let k = tile * DEPTH + inner;
    if (k < p.k) {
      return a_halves(start + min(row + outer, p.m - 1u) * p.k + k, p.k - k);
    }
    return vec4u();
  }
  let k = tile * DEPTH + outer;
  let i = row + inner;
  if (k < p.k && i < p.m) {
    return a_halves(start + k * p.m + i, p.m - i);
  }
  return vec4u();
}

fn b_chunk(start: u32, tile: u32, column: u32, outer: u32, inner: u32) -> vec4u {
  if (HAS_RIDER && tile >= p.tiles) {
    let begin = (tile - p.tiles) * DEPTH;
    if (B_INNER == DEPTH) {
      if (begin + inner < p.rider) {
        return rider_b_halves(min(column + outer, p.n - 1u) * p.rider + begin + inner, p.rider - begin - inner);
      }
    } else if (begin + outer < p.rider && column + inner < p.n) {
      return rider_b_halves((begin + outer) * p.n + column + inner, p.n - column - inner);
    }
    return vec4u();
  }
  if (B_TILED) {
    return b_halves((column / TN * p.tiles + tile) * TN * DEPTH + outer * B_INNER + inner, 8u);
  }
  if (B_INNER == DEPTH) {
    let k = tile * DEPTH + inner;
    if (k < p.k) {
      return b_halves(start + min(column + outer, p.n - 1u) * p.k + k, p.k - k);
    }
    return vec4u();
  }
  let k = tile * DEPTH + outer;
  let j = column + inner;
  if (k < p.k && j < p.n) {
    return b_halves(start + k * p.n + j, p.n - j);
  }
  return vec4u();
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  begin_fragments(lane);
  let place = place_of(group.x);
  let row = place.x * TM;
  let column = place.y * TN;
  let subgroup = lane / 32u;
  let sub_row = subgroup / (TN / WN) * WM;
  let sub_column = subgroup % (TN / WN) * WN;
  let batch = group.z / p.splits;
  let a_start = batch * p.a_batch;
  let b_start = batch * p.b_batch;
  let first = group.z % p.splits * p.tiles_in_split;
  let last = min(first + p.tiles_in_split, p.tiles + (p.rider + DEPTH - 1u) / DEPTH);
  let a_at = chunk_of(lane, A_ROW);
  let b_at = chunk_of(lane, B_ROW);
  let a_carries = A_CHUNKS >= INVOCATIONS || lane < A_CHUNKS;
  let b_carries = B_CHUNKS >= INVOCATIONS || lane < B_CHUNKS;

  var sums: array<Sums, {{FM}} * {{FN}}>;
  var a_next: array<vec4u, {{A_PASSES}}>;
  var b_next: array<vec4u, {{B_PASSES}}>;
#unroll c in 0..{{A_PASSES}}
  a_next[c] = a_chunk(a_start, first, row, a_at.x + c * INVOCATIONS / A_ROW, a_at.y * 8u);
#end
#unroll c in 0..{{B_PASSES}}
  b_next[c] = b_chunk(b_start, first, column, b_at.x + c * INVOCATIONS / B_ROW, b_at.y * 8u);
#end

  for (var tile = first; tile < last; tile++) {
    workgroupBarrier();
    if (a_carries) {
#unroll c in 0..{{A_PASSES}}
      a_tile[(a_at.x + c * INVOCATIONS / A_ROW) * A_STRIDE + a_at.y] = a_next[c];
#end
    }
    if (b_carries) {
#unroll c in 0..{{B_PASSES}}
      b_tile[(b_at.x + c * INVOCATIONS / B_ROW) * B_STRIDE + b_at.y] = b_next[c];
#end
    }
    workgroupBarrier();
    if (tile + 1u < last) {
#unroll c in 0..{{A_PASSES}}
      a_next[c] = a_chunk(a_start, tile + 1u, row, a_at.x + c * INVOCATIONS / A_ROW, a_at.y * 8u);
#end
#unroll c in 0..{{B_PASSES}}
      b_next[c] = b_chunk(b_start, tile + 1u, column, b_at.x + c * INVOCATIONS / B_ROW, b_at.y * 8u);
#end
    }
#unroll step in 0..2
    var left: array<Left, {{FM}}>;
    var right: array<Right, {{FN}}>;
#unroll i in 0..{{FM}}
    left[i] = a_tile_left{{A_DIRECTION}}(select((sub_row + i * 16u) * A_STRIDE + step * 2u, step * 16u * A_STRIDE + (sub_row + i * 16u) / 8u, A_INNER != DEPTH), A_STRIDE);
#end
#unroll j in 0..{{FN}}
    right[j] = b_tile_right{{B_DIRECTION}}(select((sub_column + j * 16u) * B_STRIDE + step * 2u, step * 16u * B_STRIDE + (sub_column + j * 16u) / 8u, B_INNER != DEPTH), B_STRIDE);
#end
#unroll i in 0..{{FM}}
#unroll j in 0..{{FN}}
    sums[i * {{FN}}u + j] = multiply(left[i], right[j], sums[i * {{FN}}u + j]);
#end
#end
#end
  }

  let own_row = lane % 32u / 2u;
  let own_half = lane % 2u;
  let own = (subgroup * 16u + own_row) * RESULT_STRIDE + own_half * 2u;
#unroll i in 0..{{FM}}
#unroll j in 0..{{FN}}
  workgroupBarrier();
  results_store(subgroup * 16u * RESULT_STRIDE, RESULT_STRIDE, sums[i * {{FN}}u + j]);
  workgroupBarrier();
  let r = row + sub_row + i * 16u + own_row;
  let c = column + sub_column + j * 16u + own_half * 8u;
  if (r < p.m && c < p.n) {
    let at = (group.z * p.m + r) * p.y_row + p.y_start + c;
    var result = Eight(p.alpha * results[own], p.alpha * results[own + 1u]);
    if (p.has_addend != 0u) {
      let more = addend_get8(at, p.n - c);
      result = Eight(result.low + more.low, result.high + more.high);
    }
    y_put8(at, p.n - c, result);
  }
#end
#end
}
