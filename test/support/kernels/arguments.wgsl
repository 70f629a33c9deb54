#include "include/read_f32.wgsl" with name
