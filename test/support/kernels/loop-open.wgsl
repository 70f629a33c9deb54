const a = 1;
#for i in 0..2
  #for j in 0..2
const b{{i}}{{j}} = 1;
#end
