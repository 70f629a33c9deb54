// output_products of attention.wgsl for the sizes of the kernels for matrix units: a thread for eight halves, so that
// neighbours read neighbouring bytes; the parts of a row are added through workgroup memory.
#include "include/attention_ranges.wgsl"
@group(0) @binding(2) var<storage, read> o: array<vec4u>;
@group(0) @binding(3) var<storage, read> log_sum_saved: array<f32>;
@group(0) @binding(5) var<storage, read> grad: array<vec4u>;
// For each [head, query] its log_sum and the dot product of the output and its gradient.
@group(0) @binding(8) var<storage, read_write> statistics: array<vec2f>;

const THREADS = 256u;
const CHUNKS = WIDTH / 8u; // threads that share a row
var<workgroup> parts: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let query = group.x * (THREADS / CHUNKS) + thread / CHUNKS;
  let head = group.y;
  var part = 0.0;
  if (query < p.queries) {
    let at = (query * p.heads + head) * CHUNKS + thread % CHUNKS;
    let a = o[at];
    let b = grad[at];
    for (var i = 0u; i < 4u; i++) {
      part += dot(unpack2x16float(a[i]), unpack2x16float(b[i]));
    }
  }
  parts[thread] = part;
  workgroupBarrier();
  if (thread % CHUNKS == 0u && query < p.queries) {
    var product = 0.0;
    for (var i = 0u; i < CHUNKS; i++) {
      product += parts[thread + i];
    }
    let at = head * p.queries + query;
    statistics[at] = vec2f(log_sum_saved[at], product);
  }
}
