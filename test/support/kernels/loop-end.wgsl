const a = 1;
#end
