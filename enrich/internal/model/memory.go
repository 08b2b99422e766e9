package model

// hugePage is the size of a large page on amd64, and on arm64 whose small ones have 4 KiB.
const hugePage = 2 << 20
