// y[i] = value + extra, with parameters of every type.
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
struct Params {
  count: u32, // comment: u32
  shift: i32,
  value: f32,
  extra: vec4u,
  last: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
override factor: f32 = 1.0;

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u) {
  if (group.x < p.count) {
    y[group.x] = factor * (f32(p.shift) + p.value + f32(p.extra.w) + f32(p.last));
  }
}
