// The view that a kernel copies, and which of its elements.
#include "include/strided.wgsl"
struct Params {
  shape: vec4u,
  strides: vec4u,
  offset: u32,
  // Row-major number of the first element to copy.
  first: u32,
  count: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
