// Types do not fit: only a compiler sees it.
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(1)
fn main() {
  y[0] = 1u;
}
