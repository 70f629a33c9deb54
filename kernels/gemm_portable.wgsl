// y = alpha · op(a) · op(b) + addend on any device.
//
// Each invocation holds ROWS × COLUMNS sums in registers and reads its operands straight from storage. Rows of a
// workgroup are the same for all its invocations, so their loads are uniform: broadcasts on a software
// implementation, cache hits on a GPU. Sums run over k in order: the same input gives the same bits.
#include "include/read_{{A}}.wgsl" with name=a, binding=1
#include "include/read_{{B}}.wgsl" with name=b, binding=2
#include "include/read_{{C}}.wgsl" with name=addend, binding=3
#include "include/store_{{Y}}.wgsl" with name=y, binding=4

const ROWS = {{ROWS}}u;
const COLUMNS = {{COLUMNS}}u; // even: a thread stores pairs
override LANES: u32 = 32u;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  // Element (i, k) of a lies at i · a_row + k · a_column; (k, j) of b at k · b_row + j · b_column.
  a_row: u32,
  a_column: u32,
  a_batch: u32,
  b_row: u32,
  b_column: u32,
  b_batch: u32,
  // Rows of y and addend are y_row elements apart; the product begins at column y_start.
  y_row: u32,
  y_start: u32,
  alpha: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * ROWS;
  let column = (group.x * LANES + lane) * COLUMNS;
  if (column >= p.n) {
    return;
  }
  var sums: array<array<f32, COLUMNS>, ROWS>;
  var a_at_row: array<u32, ROWS>;
  var b_at_column: array<u32, COLUMNS>;
  // Edges repeat the last row or column: read in bounds, not stored.
  for (var i = 0u; i < ROWS; i++) {
    a_at_row[i] = group.z * p.a_batch + min(row + i, p.m - 1u) * p.a_row;
  }
  for (var i = 0u; i < COLUMNS; i++) {
    b_at_column[i] = group.z * p.b_batch + min(column + i, p.n - 1u) * p.b_column;
  }
  for (var k = 0u; k < p.k; k++) {
    var bk: array<f32, COLUMNS>;
    for (var j = 0u; j < COLUMNS; j++) {
      bk[j] = b_at(b_at_column[j] + k * p.b_row);
    }
    for (var i = 0u; i < ROWS; i++) {
      let ak = a_at(a_at_row[i] + k * p.a_column);
      for (var j = 0u; j < COLUMNS; j++) {
        sums[i][j] += ak * bk[j];
      }
    }
  }
  for (var i = 0u; i < ROWS; i++) {
    for (var j = 0u; j < COLUMNS; j += 2u) {
      if (row + i < p.m && column + j < p.n) {
        let at = (group.z * p.m + row + i) * p.y_row + p.y_start + column + j;
        let pair = column + j + 1u < p.n;
        let more = vec2f(addend_at(at), addend_at(select(at, at + 1u, pair)));
        y_store(at, p.alpha * vec2f(sums[i][j], sums[i][j + 1u]) + more, pair);
      }
    }
  }
}
