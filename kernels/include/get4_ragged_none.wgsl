#include "include/get4_aligned_none.wgsl" with name={{name}}
