// Second line lacks a value.
const a = {{MISSING}};
