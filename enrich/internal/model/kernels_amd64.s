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
