// Advances an optimiser's count of applied steps unless the gradients are not finite, and looks up bias corrections.
@group(0) @binding(1) var<storage, read> stats: array<f32>; // See gradient-norm.wgsl.
@group(0) @binding(2) var<storage, read> table: array<f32>; // 1 - beta1^t and sqrt(1 - beta2^t) for t = 1, 2, …
@group(0) @binding(3) var<storage, read_write> clock: array<f32>;

struct Params {
  lr: f32,
  rows: u32,
  scaled: u32, // 1: the step size carries the second correction (bitsandbytes); 0: the denominator does (PyTorch).
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(1)
fn main() {
  let finite = stats[2] == 0.0;
  let applied = clock[0] + select(0.0, 1.0, finite);
  // Past the end of the table both corrections are 1.
  let row = min(max(u32(applied), 1u), p.rows) - 1u;
  let correction1 = table[2u * row];
  let correction2 = table[2u * row + 1u];
  clock[0] = applied;
  clock[1] = select(0.0, 1.0, finite);
  clock[2] = stats[4];
  clock[3] = select(-p.lr, -p.lr * correction2, p.scaled != 0u) / correction1;
  clock[4] = correction2;
}
