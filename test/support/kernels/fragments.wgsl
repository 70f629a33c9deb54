// y = op(a) · op(b) + c for a 16 × 16 fragment of each of four groups of 32 invocations.
#include "include/fragments_{{UNITS}}.wgsl"
@group(0) @binding(1) var<storage, read> a: array<vec4u>;
@group(0) @binding(2) var<storage, read> b: array<vec4u>;
@group(0) @binding(3) var<storage, read> c: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

var<workgroup> a_tile: array<vec4u, 192>;
var<workgroup> b_tile: array<vec4u, 192>;
var<workgroup> results: array<vec4u, 320>;
#include "include/left_halves_{{UNITS}}.wgsl" with name=a_tile
#include "include/right_halves_{{UNITS}}.wgsl" with name=b_tile
#include "include/sums_{{UNITS}}.wgsl" with name=results

@compute @workgroup_size(128)
fn main(@builtin(local_invocation_index) invocation: u32) {
  begin_fragments(invocation);
  a_tile[invocation / 2u * 3u + invocation % 2u] = a[invocation];
  b_tile[invocation / 2u * 3u + invocation % 2u] = b[invocation];
#unroll i in 0..2
  results[invocation / 2u * 5u + invocation % 2u * 2u + i] = bitcast<vec4u>(c[invocation * 2u + i]);
#end
  workgroupBarrier();
  let subgroup = invocation / 32u;
  let left = a_tile_{{A}}(subgroup * 48u, 3u);
  let right = b_tile_{{B}}(subgroup * 48u, 3u);
  let sums = multiply(left, right, results_sums(subgroup * 80u, 5u));
  workgroupBarrier();
  results_store(subgroup * 80u, 5u, sums);
  workgroupBarrier();
#unroll i in 0..2
  y[invocation * 2u + i] = bitcast<vec4f>(results[invocation / 2u * 5u + invocation % 2u * 2u + i]);
#end
}
