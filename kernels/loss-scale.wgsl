// The loss scale after a step: torch.amp.GradScaler.update. Slots of `stats` as in gradient-norm.wgsl.
@group(0) @binding(1) var<storage, read_write> stats: array<f32>;

struct Params {
  growth: f32,
  backoff: f32,
  interval: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(1)
fn main() {
  if (stats[2] != 0.0) {
    stats[0] *= p.backoff;
    stats[1] = 0.0;
    stats[5] += 1.0;
    return;
  }
  stats[1] += 1.0;
  if (u32(stats[1]) >= p.interval) {
    let grown = stats[0] * p.growth;
    if ((bitcast<u32>(grown) & 0x7f800000u) != 0x7f800000u) {
      stats[0] = grown;
    }
    stats[1] = 0.0;
  }
}
