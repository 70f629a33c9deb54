// For the attention kernels on matrix units: brings columns 2 · pair and 2 · pair + 1 of a subgroup's fragments of {{sums}} to
// {{array}} and to the tiles, which have been read.
  workgroupBarrier();
#include "include/attention_spill.wgsl" with array={{array}}, sums={{sums}}, columns={{columns}}, column=2u * pair
#include "include/attention_spill.wgsl" with array=tiles, sums={{sums}}, columns={{columns}}, column=2u * pair + 1u
  workgroupBarrier();
