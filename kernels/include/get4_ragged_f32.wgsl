#include "include/read_f32.wgsl" with name={{name}}, binding={{binding}}
#include "include/get4_ragged.wgsl" with name={{name}}
