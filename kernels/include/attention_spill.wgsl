// For the attention kernels on matrix units: brings column {{column}} of a subgroup's fragments of {{sums}} to {{array}}, each
// 16 rows of 4 elements from its own place on.
  #unroll r in 0..{{ROW_FRAGMENTS}}
  {{array}}_store((subgroup * {{ROW_FRAGMENTS}} + r) * 64u, 4u, {{sums}}[r * {{columns}} + {{column}}]);
  #end
