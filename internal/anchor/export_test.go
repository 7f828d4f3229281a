package anchor

// Reserved is where the words of this process lie.
func Reserved() (addr, length uintptr) { return the.words, Max * the.page }
