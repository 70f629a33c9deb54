const a = 1;

#include "include/nowhere.wgsl"
