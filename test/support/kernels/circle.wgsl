#include "../test/support/kernels/circle.wgsl" with a=1
