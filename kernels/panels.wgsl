// Brings a matrix of f32 or f16 from rows to the f16 panels of src/tensor/gemm/panels.ts, and of f16 back.
#include "include/grid.wgsl"
#include "include/panel_place.wgsl"
#include "include/read8_{{X}}.wgsl" with name=x, binding=1
#include "include/write8_f16.wgsl" with name=y, binding=2

struct Params {
  rows: u32,
  width: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

// Eight elements of x to y, from and to places that count eights.
fn bring(from_place: u32, to_place: u32) {
  let eight = x_read8(from_place * 8u, 8u);
  y_put8(to_place, eight.low, eight.high, 8u);
}

@compute @workgroup_size(256)
fn pack(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let place = panel_place(flat_group(group, groups), lane, p.rows, p.width);
  if (place.inside) {
    bring(place.in_rows, place.in_panels);
  }
}

@compute @workgroup_size(256)
fn unpack(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let place = panel_place(flat_group(group, groups), lane, p.rows, p.width);
  if (place.inside) {
    bring(place.in_panels, place.in_rows);
  }
}
