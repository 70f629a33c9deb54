fn place_of(word: u32) -> u32 {
  return word;
}
