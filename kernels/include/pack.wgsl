// What a thread moves at a time: {{QUADS}} times four neighbouring elements, which is 16 bytes of the widest tensor of a
// kernel. Pack i holds the elements from 4 · QUADS · i on. The last pack of a tensor may reach beyond its `count` elements:
// bindings are padded to 16 bytes for reading, and writing stops at the last element (in f16 at the end of its word).
const QUADS = {{QUADS}}u;
alias Pack = array<vec4f, QUADS>;
const PACK = 4u * QUADS;
