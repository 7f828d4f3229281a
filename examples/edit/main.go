package main

import (
	"fmt"
	"os"

	"github.com/memwright/mmap"
)

const usage = `usage: edit FILE
       edit -engine FILE    with the mechanism of package vmem, and no mapping of the kernel's

Prints FILE and changes its first character to H, on the disk.

example:
  echo 'hello, mmap' > test.txt
  edit test.txt
`

func main() {
	if len(os.Args) == 2 && (os.Args[1] == "-h" || os.Args[1] == "--help") {
		fmt.Print(usage)
		return
	}
	change, args := edit, os.Args[1:]
	if len(args) > 0 && args[0] == "-engine" {
		change, args = editOnEngine, args[1:]
	}
	if len(args) != 1 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := change(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "edit:", err)
		os.Exit(1)
	}
}

func edit(name string) error {
	// 1. Open for reading and writing: a shared mapping that is stored to
	// needs both, and write-only is not enough for any mapping.
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close() // for the early returns; step 6 closes it

	// 2. The size. Map asks for it itself; it is looked at here to refuse a
	// file that has no first character.
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Mode().IsRegular() && st.Size() == 0 {
		return errEmpty(name)
	}

	// 3. Map all of it, shared: stores reach the file.
	m, err := mmap.Map(f, mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		return err
	}
	defer m.Close() // for the early returns; step 5 closes it

	// 4. Read and write it as memory: the m.Len() bytes of the file, and not
	// up to a zero byte that may not be there.
	fmt.Print("original content: ")
	if _, err := m.WriteTo(os.Stdout); err != nil {
		return err
	}
	fmt.Println()
	err = m.WriteView(0, 1, func(p []byte) error {
		p[0] = 'H'
		return nil
	}) // and it is on the disk: WriteView syncs what fn may have stored
	if err != nil {
		return err
	}

	// 5. Unmap.
	if err := m.Close(); err != nil {
		return err
	}
	// 6. Close the file. This could have been done right after step 3.
	return f.Close()
}

func errEmpty(name string) error {
	return fmt.Errorf("%s is empty: there is no first character to change; put some text in it first", name)
}
