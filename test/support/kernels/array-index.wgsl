fn f() {
#array x: f32, 2
  x[{{INDEX}}] = 1.0;
}
