// y = EXPR(a, b, alpha) element by element for contiguous operands of one shape; `unary` for one operand.
#include "include/grid.wgsl"
#include "include/read_pack{{QUADS}}_{{A}}.wgsl" with name=a, binding=1
#include "include/read_pack{{QUADS}}_{{B}}.wgsl" with name=b, binding=2
#include "include/write_pack{{QUADS}}_{{Y}}.wgsl" with name=y, binding=3

struct Params {
  count: u32,
  alpha: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

fn evaluate(a: f32, b: f32) -> f32 {
  let alpha = p.alpha;
  return {{EXPR}};
}

fn evaluate4(a: vec4f, b: vec4f) -> vec4f {
  return vec4f(evaluate(a.x, b.x), evaluate(a.y, b.y), evaluate(a.z, b.z), evaluate(a.w, b.w));
}

@compute @workgroup_size(256)
fn dense(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 256u + lane;
  if (i * PACK >= p.count) {
    return;
  }
  let a = a_pack(i);
  let b = b_pack(i);
  var y: Pack;
  #unroll q in 0..{{QUADS}}
  y[q] = evaluate4(a[q], b[q]);
  #end
  y_put_pack(i, y, p.count);
}

@compute @workgroup_size(256)
fn unary(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 256u + lane;
  if (i * PACK >= p.count) {
    return;
  }
  let a = a_pack(i);
  var y: Pack;
  #unroll q in 0..{{QUADS}}
  y[q] = evaluate4(a[q], vec4f());
  #end
  y_put_pack(i, y, p.count);
}
