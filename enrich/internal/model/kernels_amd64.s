#include "go_asm.h"
#include "textflag.h"

// The twins in Go (kernels.go) say what each kernel computes.

// func addFourAVX2(sum, rows *uint64, place *rowPlace, features *uint32, n int)
TEXT ·addFourAVX2(SB), NOSPLIT, $0-40
	MOVQ    sum+0(FP), DI
	MOVQ    rows+8(FP), SI
	MOVQ    place+16(FP), R8
	MOVQ    features+24(FP), R9
	MOVQ    n+32(FP), CX
	LEAQ    (R9)(CX*4), CX
	MOVBLZX rowPlace_line(R8), R10
	MOVBLZX rowPlace_row(R8), R11
	MOVL    rowPlace_lineMask(R8), R12
	MOVL    rowPlace_rowMask(R8), R13
	MOVL    rowPlace_offset(R8), DX
	MOVL    rowPlace_words(R8), R8
	VMOVDQU (DI), Y0   // the sums of the even lanes
	VMOVDQU 32(DI), Y1 // those of the odd ones
	VPCMPEQD Y2, Y2, Y2
	VPSRLD  $16, Y2, Y2
	JMP     more

feature:
	// rowPlace.of
	MOVL    (R9), AX
	ADDQ    $4, R9
	SHRXL   R11, AX, BX
	ANDL    R13, BX
	IMULL   R8, BX
	SHRXL   R10, AX, AX
	ANDL    R12, AX
	ADDL    DX, BX
	ADDL    BX, AX

	VMOVDQU (SI)(AX*8), Y3
	VPAND   Y2, Y3, Y4
	VPSRLD  $16, Y3, Y3
	VPADDD  Y4, Y0, Y0
	VPADDD  Y3, Y1, Y1

more:
	CMPQ    R9, CX
	JNE     feature
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	VZEROUPPER
	RET

// func addSumsAVX2(total, sums *uint64, words int, slots *int, n int)
TEXT ·addSumsAVX2(SB), NOSPLIT, $0-40
	MOVQ total+0(FP), DI
	MOVQ sums+8(FP), SI
	MOVQ words+16(FP), R8
	MOVQ slots+24(FP), R9
	MOVQ n+32(FP), CX
	LEAQ (R9)(CX*8), CX
	MOVQ R8, R10 // words left
	SHLQ $3, R8  // bytes a slot
	JMP  moreColumns

columns:
	VMOVDQU (DI), Y0
	MOVQ    R9, BX
	JMP     moreSlots

slot:
	MOVQ   (BX), AX
	ADDQ   $8, BX
	IMULQ  R8, AX
	VPADDD (SI)(AX*1), Y0, Y0

moreSlots:
	CMPQ    BX, CX
	JNE     slot
	VMOVDQU Y0, (DI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	SUBQ    $4, R10

moreColumns:
	TESTQ R10, R10
	JNE   columns
	VZEROUPPER
	RET

// func addBytesAVX2(sum *int16, rows *byte, dims int, places *uint32, n int)
TEXT ·addBytesAVX2(SB), NOSPLIT, $0-40
	MOVQ sum+0(FP), DI
	MOVQ rows+8(FP), SI
	MOVQ dims+16(FP), R8
	MOVQ places+24(FP), R9
	MOVQ n+32(FP), CX
	LEAQ (R9)(CX*4), CX
	MOVQ R8, R10 // dimensions left

dimensions:
	VPXOR Y0, Y0, Y0
	MOVQ  R9, BX

row:
	MOVL      (BX), AX
	ADDQ      $4, BX
	IMULQ     R8, AX
	VPMOVSXBW (SI)(AX*1), Y1
	VPADDW    Y1, Y0, Y0
	CMPQ      BX, CX
	JNE       row
	VMOVDQU   Y0, (DI)
	ADDQ      $32, DI
	ADDQ      $16, SI
	SUBQ      $16, R10
	JNE       dimensions
	VZEROUPPER
	RET

// func dotAllAVX2(dots *int32, taps, vector *int16, groups, pairs int)
TEXT ·dotAllAVX2(SB), NOSPLIT, $0-40
	MOVQ dots+0(FP), DI
	MOVQ taps+8(FP), SI
	MOVQ vector+16(FP), R8
	MOVQ groups+24(FP), CX
	MOVQ pairs+32(FP), R9
	LEAQ (R8)(R9*4), R9

group:
	VPXOR Y0, Y0, Y0
	MOVQ  R8, BX

pair:
	VPBROADCASTD (BX), Y1
	VPMADDWD     (SI), Y1, Y1
	VPADDD       Y1, Y0, Y0
	ADDQ         $4, BX
	ADDQ         $32, SI
	CMPQ         BX, R9
	JNE          pair
	VMOVDQU      Y0, (DI)
	ADDQ         $32, DI
	DECQ         CX
	JNE          group
	VZEROUPPER
	RET

// func hearTokensAVX2(top, open, next, filters *uint64, words int, slots *int, n int)
TEXT ·hearTokensAVX2(SB), NOSPLIT, $0-56
	MOVQ top+0(FP), DI
	MOVQ open+8(FP), R10
	MOVQ next+16(FP), R11
	MOVQ filters+24(FP), SI
	MOVQ words+32(FP), R12
	MOVQ slots+40(FP), R9
	MOVQ n+48(FP), CX
	LEAQ (R9)(CX*8), CX
	MOVQ R12, R13        // words left
	SHLQ $3, R12         // bytes a place of the window
	LEAQ (R12)(R12*2), R8 // bytes a slot

filters:
	VMOVDQU (DI), Y0
	VMOVDQU (R10), Y1
	VMOVDQU (R11), Y2
	MOVQ    R9, BX

token:
	MOVQ    (BX), AX
	ADDQ    $8, BX
	IMULQ   R8, AX
	ADDQ    SI, AX
	VPADDW  (AX)(R12*2), Y1, Y1
	VPMAXUW Y1, Y0, Y0
	VPADDW  (AX)(R12*1), Y2, Y1
	VMOVDQU (AX), Y2
	CMPQ    BX, CX
	JNE     token
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, (R10)
	VMOVDQU Y2, (R11)
	ADDQ    $32, DI
	ADDQ    $32, R10
	ADDQ    $32, R11
	ADDQ    $32, SI
	SUBQ    $4, R13
	JNE     filters
	VZEROUPPER
	RET

// func touchRowsBMI2(rows *uint64, place *rowPlace, features *uint32, n int)
TEXT ·touchRowsBMI2(SB), NOSPLIT, $0-32
	MOVQ    rows+0(FP), SI
	MOVQ    place+8(FP), R8
	MOVQ    features+16(FP), R9
	MOVQ    n+24(FP), CX
	LEAQ    (R9)(CX*4), CX
	MOVBLZX rowPlace_line(R8), R10
	MOVL    rowPlace_lineMask(R8), R12

feature:
	MOVL       (R9), AX
	ADDQ       $4, R9
	SHRXL      R10, AX, AX
	ANDL       R12, AX
	PREFETCHT0 (SI)(AX*8)
	CMPQ       R9, CX
	JNE        feature
	RET

// func touchSetsBMI2(sets *[1 << waysBits]uint64, shift int, hashes *uint64, n int)
TEXT ·touchSetsBMI2(SB), NOSPLIT, $0-32
	MOVQ sets+0(FP), SI
	MOVQ shift+8(FP), R10
	MOVQ hashes+16(FP), R9
	MOVQ n+24(FP), CX
	LEAQ (R9)(CX*8), CX

hash:
	SHRXQ      R10, (R9), AX
	ADDQ       $8, R9
	SHLQ       $const_waysBits+3, AX
	PREFETCHT0 (SI)(AX*1)
	CMPQ       R9, CX
	JNE        hash
	RET
