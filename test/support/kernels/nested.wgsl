#include "../test/support/kernels/placeholder.wgsl"
