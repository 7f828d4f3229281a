package tracee

import "encoding/binary"

// Where the two pages of a new process are. Code is a private, readable and
// executable mapping of the first page of the executable, which [Process.Exe]
// names; Scratch is a shared, readable and writable mapping of a memfd. Every
// process of one Start sees the same Scratch page, and the caller does too.
const (
	Code    = 0x400000
	Scratch = 0x500000
)

// PageSize is the size of a page on amd64.
const PageSize = 4096

// An entry is the address of an instruction that the process can be made to
// run, and the address behind the breakpoint that follows it.
type entry struct{ start, end uint64 }

// The instructions, each followed by a breakpoint (int3). Arguments and results
// stand in the registers that the comments name.
var (
	syscallEntry entry
	loads        = map[int]entry{} // by width in bytes: from [rsi] to rax
	stores       = map[int]entry{} // from rax to [rdi]
	copyEntry    entry             // rcx bytes from [rsi] to [rdi], counting up and down
)

// executable is the whole file: headers and code, mapped as one page.
var executable = func() []byte {
	const headers = 64 + 2*56
	image := make([]byte, headers, PageSize)
	add := func(code ...byte) entry {
		start := Code + uint64(len(image))
		image = append(append(image, code...), 0xcc)
		return entry{start, Code + uint64(len(image))}
	}
	first := add() // where the program starts: a breakpoint
	syscallEntry = add(0x0f, 0x05)
	loads[1] = add(0x0f, 0xb6, 0x06)  // movzx eax, byte [rsi]
	loads[2] = add(0x0f, 0xb7, 0x06)  // movzx eax, word [rsi]
	loads[4] = add(0x8b, 0x06)        // mov eax, [rsi]
	loads[8] = add(0x48, 0x8b, 0x06)  // mov rax, [rsi]
	stores[1] = add(0x88, 0x07)       // mov [rdi], al
	stores[2] = add(0x66, 0x89, 0x07) // mov [rdi], ax
	stores[4] = add(0x89, 0x07)       // mov [rdi], eax
	stores[8] = add(0x48, 0x89, 0x07) // mov [rdi], rax
	copyEntry = add(0xf3, 0xa4)       // rep movsb
	size := uint64(len(image))

	le := binary.LittleEndian
	copy(image, "\x7fELF\x02\x01\x01") // 64-bit, little-endian, version 1
	le.PutUint16(image[16:], 2)        // ET_EXEC: at fixed addresses
	le.PutUint16(image[18:], 62)       // EM_X86_64
	le.PutUint32(image[20:], 1)
	le.PutUint64(image[24:], first.start)
	le.PutUint64(image[32:], 64) // program headers follow
	le.PutUint16(image[52:], 64) // size of this header,
	le.PutUint16(image[54:], 56) // of a program header,
	le.PutUint16(image[56:], 2)  // and their number

	load := image[64:]
	le.PutUint32(load[0:], 1) // PT_LOAD
	le.PutUint32(load[4:], 5) // readable and executable
	le.PutUint64(load[16:], Code)
	le.PutUint64(load[24:], Code)
	le.PutUint64(load[32:], size)
	le.PutUint64(load[40:], size)
	le.PutUint64(load[48:], PageSize)

	stack := image[64+56:]
	le.PutUint32(stack[0:], 0x6474e551) // PT_GNU_STACK
	le.PutUint32(stack[4:], 6)          // not executable
	return image
}()
