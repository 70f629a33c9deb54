#include "include/grid.wgsl"
#include "include/grid.wgsl"
#include "include/read_{{X}}.wgsl" with name=a, binding=1
#include "include/read_{{X}}.wgsl" with name=b, binding={{B}}
