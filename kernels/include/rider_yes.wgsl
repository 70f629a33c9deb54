// A second pair of operands, [m, r] and [r, n] (or [n, r]), whose product is added: tiles that follow those of a and b.
const HAS_RIDER = true;
#include "include/operand_{{R_EDGES}}.wgsl" with name=rider_a, binding=5
#include "include/operand_{{R_EDGES}}.wgsl" with name=rider_b, binding=6
