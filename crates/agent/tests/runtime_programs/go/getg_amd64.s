#include "textflag.h"

// func currentG() uintptr
TEXT ·currentG(SB), NOSPLIT, $0-8
	MOVQ (TLS), AX
	MOVQ AX, ret+0(FP)
	RET

// func threadWord(at uintptr) uintptr
TEXT ·threadWord(SB), NOSPLIT, $0-16
	MOVQ at+0(FP), CX
	// mov %fs:(%rcx), %rax
	BYTE $0x64; BYTE $0x48; BYTE $0x8b; BYTE $0x01
	MOVQ AX, ret+8(FP)
	RET
