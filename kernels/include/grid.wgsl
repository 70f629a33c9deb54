// Number of this workgroup when a long one-dimensional grid is folded over x and y.
fn flat_group(group: vec3u, groups: vec3u) -> u32 {
  return group.y * groups.x + group.x;
}
