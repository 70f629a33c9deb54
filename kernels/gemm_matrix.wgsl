// y = alpha · op(a) · op(b) + addend on matrix units: f16 operands, f32 sums.
//
// A workgroup of four subgroups computes TILE × TILE results, each subgroup a quarter in 16 × 16 fragments. Tiles of
// a and b go through workgroup memory as they lie in storage (the direction is told to the fragment loads), rows
// padded by 16 bytes against bank conflicts; the next tiles travel to registers while the current ones are multiplied.
// Results leave through workgroup memory, where they can be scaled, added and rounded.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// The number of a subgroup is the same for all its invocations, but computed from their index: the analysis cannot see it.
diagnostic(off, chromium.subgroup_matrix_uniformity);
#include "include/matrix_operand_{{A_LOADS}}.wgsl" with name=a, binding=1
#include "include/matrix_operand_{{B_LOADS}}.wgsl" with name=b, binding=2
#include "include/read_{{C}}.wgsl" with name=addend, binding=3
#include "include/store_{{Y}}.wgsl" with name=y, binding=4

const TILE = {{TILE}}u;
const DEPTH = 32u;
const INVOCATIONS = 128u;
const FRAGMENTS = TILE / 32u; // along each side of a subgroup's quarter
const A_INNER = {{A_INNER}}u; // DEPTH if a is [M, K], TILE if it is [K, M]
const B_INNER = {{B_INNER}}u; // DEPTH if b is [N, K], TILE if it is [K, N]
const A_TRANSPOSED = A_INNER == TILE;
const B_TRANSPOSED = B_INNER == DEPTH;
const A_CHUNKS = A_INNER / 8u; // 16-byte chunks in a row of the tile
const B_CHUNKS = B_INNER / 8u;
const A_STRIDE = A_CHUNKS + 1u;
const B_STRIDE = B_CHUNKS + 1u;
const PREFETCH = TILE * DEPTH / 8u / INVOCATIONS;

struct Params {
  m: u32,
  n: u32,
  k: u32,
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

var<workgroup> a_tile: array<vec4u, TILE * DEPTH / A_INNER * A_STRIDE>;
var<workgroup> b_tile: array<vec4u, TILE * DEPTH / B_INNER * B_STRIDE>;
var<workgroup> results: array<f32, 1024>; // a 16 × 16 fragment for each subgroup

// Neighbouring workgroups share tiles in the cache: walk over the grid in bands of eight rows.
fn tile_of(group: u32) -> vec2u {
  const BAND = 8u;
  let in_band = BAND * p.columns;
  let band = group / in_band;
  let height = min(BAND, p.rows - band * BAND);
  let within = group % in_band;
  return vec2u(band * BAND + within % height, within / height);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = tile_of(group.x);
  let row = tile.x * TILE;
  let column = tile.y * TILE;
  let subgroup = lane / 32u;
  let sub_row = (subgroup / 2u) * (TILE / 2u);
  let sub_column = (subgroup % 2u) * (TILE / 2u);
  let a_start = group.z * p.a_batch;
  let b_start = group.z * p.b_batch;

  var sums: array<array<subgroup_matrix_result<f32, 16, 16>, FRAGMENTS>, FRAGMENTS>;
  var a_next: array<vec4u, PREFETCH>;
  var b_next: array<vec4u, PREFETCH>;

  for (var k = 0u; k < p.k + DEPTH; k += DEPTH) {
    // Bring the tile that the previous round fetched into workgroup memory, then multiply it while the next comes.
    if (k > 0u) {
      workgroupBarrier();
      for (var c = 0u; c < PREFETCH; c++) {
        let chunk = c * INVOCATIONS + lane;
        a_tile[chunk / A_CHUNKS * A_STRIDE + chunk % A_CHUNKS] = a_next[c];
        b_tile[chunk / B_CHUNKS * B_STRIDE + chunk % B_CHUNKS] = b_next[c];
      }
      workgroupBarrier();
    }
    if (k < p.k) {
      for (var c = 0u; c < PREFETCH; c++) {
        let chunk = c * INVOCATIONS + lane;
        let a_outer = chunk / A_CHUNKS;
        let a_inner = chunk % A_CHUNKS * 8u;
        if (A_TRANSPOSED) {
          a_next[c] = a_chunk(a_start, k + a_outer, row + a_inner, p.k, p.m);
        } else {
          a_next[c] = a_chunk(a_start, row + a_outer, k + a_inner, p.m, p.k);
        }
        let b_outer = chunk / B_CHUNKS;
        let b_inner = chunk % B_CHUNKS * 8u;
        if (B_TRANSPOSED) {
          b_next[c] = b_chunk(b_start, column + b_outer, k + b_inner, p.n, p.k);
        } else {
          b_next[c] = b_chunk(b_start, k + b_outer, column + b_inner, p.k, p.n);
        }
      }
    }
    if (k > 0u) {
      for (var step = 0u; step < DEPTH; step += 16u) {
        var left: array<subgroup_matrix_left<f16, 16, 16>, FRAGMENTS>;
        for (var i = 0u; i < FRAGMENTS; i++) {
          let m = sub_row + i * 16u;
          let at = select(m * A_STRIDE + step / 8u, step * A_STRIDE + m / 8u, A_TRANSPOSED);
          left[i] = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, {{A_MAJOR}}>(&a_tile, at, A_STRIDE);
        }
        for (var j = 0u; j < FRAGMENTS; j++) {
          let n = sub_column + j * 16u;
          let at = select(step * B_STRIDE + n / 8u, n * B_STRIDE + step / 8u, B_TRANSPOSED);
          let right = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, {{B_MAJOR}}>(&b_tile, at, B_STRIDE);
          for (var i = 0u; i < FRAGMENTS; i++) {
            sums[i][j] = subgroupMatrixMultiplyAccumulate(left[i], right, sums[i][j]);
          }
        }
      }
    }
  }

  for (var i = 0u; i < FRAGMENTS; i++) {
    for (var j = 0u; j < FRAGMENTS; j++) {
      workgroupBarrier();
      subgroupMatrixStore<row_major>(&results, subgroup * 256u, sums[i][j], 16u);
      workgroupBarrier();
      let top = row + sub_row + i * 16u;
      let left = column + sub_column + j * 16u;
      for (var pair = lane % 32u; pair < 128u; pair += 32u) {
        let r = top + pair / 8u;
        let c = left + pair % 8u * 2u;
        if (r < p.m && c < p.n) {
          let at = (group.z * p.m + r) * p.y_row + p.y_start + c;
          let both = c + 1u < p.n;
          var sum = p.alpha * vec2f(results[subgroup * 256u + pair * 2u], results[subgroup * 256u + pair * 2u + 1u]);
          if (p.has_addend != 0u) {
            sum += vec2f(addend_at(at), addend_at(select(at, at + 1u, both)));
          }
          y_store(at, sum, both);
        }
      }
    }
  }
}
