#include "include/gemm_rider_operands_one.wgsl"
