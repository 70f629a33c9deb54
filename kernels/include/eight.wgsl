// Eight neighbouring elements of a row.
struct Eight {
  low: vec4f,
  high: vec4f,
}
