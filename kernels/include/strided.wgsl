// Position in a strided tensor of up to four dimensions of row-major element i of `shape`.
fn strided_index(i: u32, shape: vec4u, strides: vec4u) -> u32 {
  let w = i % shape.w;
  let z = (i / shape.w) % shape.z;
  let y = (i / (shape.w * shape.z)) % shape.y;
  let x = i / (shape.w * shape.z * shape.y);
  return dot(vec4u(x, y, z, w), strides);
}
