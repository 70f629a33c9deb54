// Maximum of a dense [outer, middle, inner] tensor over its middle dimension with the place of the first maximal
// element (a NaN counts as larger than every number), and the gradient, which that element gets.
#include "include/grid.wgsl"
#include "include/nonfinite.wgsl"
#include "include/read_{{X}}.wgsl" with name=x, binding=1
#include "include/write_{{X}}.wgsl" with name=y, binding=2
@group(0) @binding(3) var<storage, read_write> places: array<u32>;

struct Params {
  outer: u32,
  middle: u32,
  inner: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

struct Best {
  value: f32,
  place: u32,
}

fn better(a: Best, b: Best) -> Best {
  let earlier = b.place < a.place;
  let a_nan = is_nan(a.value);
  let b_nan = is_nan(b.value);
  var take = b.value > a.value || (b.value == a.value && earlier);
  if (a_nan || b_nan) {
    take = b_nan && (!a_nan || earlier);
  }
  if (take) {
    return b;
  }
  return a;
}

var<workgroup> candidates: array<Best, 64>;

// One workgroup for two outputs, one after the other.
@compute @workgroup_size(64)
fn rows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups);
  let count = p.outer * p.inner;
  if (pair * 2u >= count) {
    return;
  }
  var values: array<f32, 2>;
  for (var k = 0u; k < 2u; k++) {
    let i = min(pair * 2u + k, count - 1u);
    let start = (i / p.inner) * p.middle * p.inner + i % p.inner;
    // Lanes beyond a short dimension repeat its last element, which changes nothing.
    let own = min(lane, p.middle - 1u);
    var best = Best(x_at(start + own * p.inner), own);
    for (var m = lane + 64u; m < p.middle; m += 64u) {
      best = better(best, Best(x_at(start + m * p.inner), m));
    }
    workgroupBarrier();
    candidates[lane] = best;
    for (var half = 32u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (lane < half) {
        candidates[lane] = better(candidates[lane], candidates[lane + half]);
      }
    }
    if (lane == 0u) {
      values[k] = candidates[0].value;
      places[i] = candidates[0].place;
    }
  }
  if (lane == 0u) {
    y_put(pair, vec2f(values[0], values[1]), count);
  }
}

// y = gradient x [outer, inner] at the places, zero elsewhere.
@compute @workgroup_size(64)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let count = p.outer * p.middle * p.inner;
  if (pair * 2u >= count) {
    return;
  }
  var values: array<f32, 2>;
  for (var k = 0u; k < 2u; k++) {
    let i = min(pair * 2u + k, count - 1u);
    let output = i / (p.middle * p.inner) * p.inner + i % p.inner;
    values[k] = select(0.0, x_at(output), places[output] == (i / p.inner) % p.middle);
  }
  y_put(pair, vec2f(values[0], values[1]), count);
}
