fn f() {
#array x: f32, 2
  x[k] = 1.0;
}
