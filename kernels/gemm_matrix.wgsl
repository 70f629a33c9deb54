// y = alpha · (op(a) · op(b) + rider_a · op(rider_b)) + addend on matrix units: f16 operands, f32 sums.
//
// A workgroup of four subgroups computes TM × TN results, each subgroup WM × WN of them in 16 × 16 fragments: at
// 64 × 80 these are 160 of the 255 registers of an invocation. Tiles of a and b, DEPTH deep, go through workgroup
// memory as they lie in storage (the direction is told to the fragment loads), rows padded by 16 bytes against bank
// conflicts; the next tiles travel to registers while the current ones are multiplied. a and b may lie in storage in
// panels (src/tensor/gemm/panels.ts), whose tiles load at full width. Beyond the last row or column the last one is loaded
// again, and its results are not written; beyond the depth there are zeros. Results leave through workgroup memory,
// where they can be scaled, added and rounded. A condition in the loop over tiles can halve the speed, so there is none
// where the depth is whole tiles.
//
// What limits the speed on NVIDIA's cores is what passes through workgroup memory and the first cache, which are one:
// tiles into the cache, to registers, to workgroup memory, and fragments out of it. Wider tiles have less of it for each
// product. Operands are declared read_write where WebGPU allows that: loads of what is only read the compiler moves to
// their use, past barriers, and waits there.
#include "include/fragments_{{UNITS}}.wgsl"
#include "include/operand_{{A_EDGES}}.wgsl" with name=a, binding=1, access={{ACCESS}}
#include "include/operand_{{B_EDGES}}.wgsl" with name=b, binding=2, access={{ACCESS}}
#include "include/get4_{{Y_EDGES}}_{{C}}.wgsl" with name=addend, binding=3
#include "include/put4_{{Y_EDGES}}_{{Y}}.wgsl" with name=y, binding=4
#include "include/gemm_rider_operands_{{RIDER}}.wgsl"
#include "include/gemm_parts_{{SHARES}}.wgsl"

const TM = {{TM}}u;
const TN = {{TN}}u;
const WM = {{WM}}u;
const WN = {{WN}}u;
const DEPTH = 32u;
const PANEL = 32u; // columns of a panel
const INVOCATIONS = 128u;
const A_INNER = {{A_INNER}}u; // DEPTH if a is [m, k], TM if it is [k, m]
const B_INNER = {{B_INNER}}u; // DEPTH if b is [n, k], TN if it is [k, n]
const A_ROW = A_INNER / 8u; // 16-byte chunks in a row of a tile
const B_ROW = B_INNER / 8u;
// What places in storage are counted in: eights of elements where rows are whole eights.
const A_UNIT = {{A_UNIT}}u;
const B_UNIT = {{B_UNIT}}u;
const R_UNIT = {{R_UNIT}}u;
// Chunks of a row that the workgroup's invocations fetch together: all, or those of a panel.
const A_ACROSS = {{A_ACROSS}}u;
const B_ACROSS = {{B_ACROSS}}u;
// Whether the chunks that an invocation carries are equally far apart: not where the last row stands for those beyond.
const A_EVEN = {{M_WHOLE}} || (A_INNER != DEPTH && A_ACROSS == A_ROW);
const B_EVEN = {{N_WHOLE}} || (B_INNER != DEPTH && B_ACROSS == B_ROW);
const A_STRIDE = A_ROW + 1u;
const B_STRIDE = B_ROW + 1u;
const A_CHUNKS = TM * DEPTH / 8u;
const B_CHUNKS = TN * DEPTH / 8u;
// vec4s of a row of a subgroup's results, padded so that fragments are stored without conflicts
const RESULT_STRIDE = WN / 4u + 2u;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  rider: u32, // depth of the rider
  tiles: u32, // tiles along k
  // One workgroup computes each of the first `whole` tiles of results, `splits` workgroups each later one together.
  whole: u32,
  splits: u32,
  tiles_in_split: u32, // tiles along k that one of those takes
  a_batch: u32,
  b_batch: u32,
  y_row: u32,
  y_start: u32,
  alpha: f32,
  columns: u32, // tiles of results along n
  rows: u32, // along m
}
@group(0) @binding(0) var<uniform> p: Params;

// The tile of a, then that of b; when they are done with, results lie there.
const B_TILE = A_CHUNKS / A_ROW * A_STRIDE;
var<workgroup> tiles: array<vec4u, max(B_TILE + B_CHUNKS / B_ROW * B_STRIDE, 4u * 16u * RESULT_STRIDE)>;
#include "include/left_halves_{{UNITS}}.wgsl" with name=tiles
#include "include/right_halves_{{UNITS}}.wgsl" with name=tiles
#include "include/sums_{{UNITS}}.wgsl" with name=tiles

#include "include/gemm_place.wgsl"

// Row and chunk of a tile that an invocation carries first: rows of four chunks are taken in an order in which the eight
// invocations that store together meet eight different banks.
fn chunk_of(lane: u32, across: u32) -> vec2u {
  if (across == 4u) {
    return vec2u(lane / 32u * 8u + lane % 32u / 8u + lane / 4u % 2u * 4u, lane % 4u);
  }
  return vec2u(lane / across, lane % across);
}

// Those that it carries in later turns.
fn chunk_in(turn: u32, first: vec2u, row_chunks: u32, across: u32) -> vec2u {
  let in_row = row_chunks / across;
  return first + vec2u(turn / in_row * (INVOCATIONS / across), turn % in_row * across);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  begin_fragments(lane);
  let piece = group.x - p.whole;
  let shared_tile = {{SHARES}} && group.x >= p.whole;
  let split = select(0u, piece % p.splits, shared_tile);
  let place = place_of(select(group.x, p.whole + piece / p.splits, shared_tile));
  let row = place.x * TM;
  let column = place.y * TN;
  let subgroup = lane / 32u;
  let sub_row = subgroup / (TN / WN) * WM;
  let sub_column = subgroup % (TN / WN) * WN;
  // Where a tile has fewer chunks than there are invocations, some fetch what others do rather than what lies beyond it.
  let a_at = chunk_of(select(lane % A_CHUNKS, lane, A_CHUNKS >= INVOCATIONS), A_ACROSS);
  let b_at = chunk_of(select(lane % B_CHUNKS, lane, B_CHUNKS >= INVOCATIONS), B_ACROSS);
#array sums: Sums, {{FM}}, {{FN}}
  let a_start = group.z * p.a_batch;
  let b_start = group.z * p.b_batch;
  let first = split * p.tiles_in_split;
  let last = select(p.tiles, min(first + p.tiles_in_split, p.tiles), shared_tile);
#include "include/gemm_begin.wgsl" with a=a, b=b, depth=p.k, a_start=a_start, b_start=b_start, first=first, last=last, a_unit=A_UNIT, b_unit=B_UNIT, panels={{B_PANELS}}, a_rows={{A_ROWS}}, a_panels={{A_PANELS}}, zeros={{B_ZEROS}}, edges={{K_EDGES}}
#include "include/gemm_rider_{{RIDER}}.wgsl"
#include "include/gemm_loop.wgsl" with a=a, b=b, depth=p.k, first=first, last=last, panels={{B_PANELS}}, zeros={{B_ZEROS}}, edges={{K_EDGES}}
#include "include/gemm_leave_{{SHARES}}.wgsl"

#include "include/gemm_results.wgsl"
}
