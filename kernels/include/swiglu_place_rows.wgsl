// Packs that an invocation reads and writes: the same one.
struct Place {
  input: u32,
  output: u32,
  inside: bool,
}
fn place_of(group: u32, lane: u32) -> Place {
  let i = group * 256u + lane;
  return Place(i, i, i * PACK < p.count);
}
