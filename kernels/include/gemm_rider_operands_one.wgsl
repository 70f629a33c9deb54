// A second pair of operands, [m, r] and [r, n] (or [n, r]), whose product is added.
#include "include/operand_{{R_EDGES}}.wgsl" with name=rider_a, binding=5, access={{ACCESS}}
#include "include/operand_{{R_EDGES}}.wgsl" with name=rider_b, binding=6, access={{ACCESS}}
