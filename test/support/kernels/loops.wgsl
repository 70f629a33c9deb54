const before = 1;
#for i in 0..{{COUNT}}
  #for j in 2..4
const a{{i}}_{{j}} = {{i}};
  #end
const after{{i}} = {{i}};
#include "include/read_f32.wgsl" with name=x{{i}}, binding={{i}}
#end
const last = {{COUNT}};
