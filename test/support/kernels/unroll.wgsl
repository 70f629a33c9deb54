fn f() {
#unroll i in 0..2
  #unroll j in 1..2
  x[i] = j;
  #end
#end
}
