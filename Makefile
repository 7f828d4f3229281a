# What a run takes can be changed: make fuzz FUZZTIME=10m (or 3000x), make stress STRESSTIME=1m
# COUNT=100, make bench BENCHFLAGS=-slow.
FUZZTIME  ?= 30s
STRESSTIME ?= 10s
COUNT     ?= 20
KILLS     ?= 1000
MUTANTS   ?= 1
BENCHFLAGS ?=
PLATFORMS := linux/amd64 linux/arm64 linux/386 darwin/arm64 freebsd/amd64 windows/amd64
TESTED    = $(shell go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...)

.PHONY: check fmt vet lint vuln test race gomaxprocs1 nocgo 32bit collecting stress mutants agree agree-long large model kills nettest bench fuzz

check: fmt vet lint vuln

fmt:
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted:"; echo "$$files"; exit 1; }

# cgo is off: the tree must build with nothing but Go, and other platforms' C
# compilers are not here.
vet:
	@for p in $(PLATFORMS); do echo "vet $$p"; \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} go vet ./... || exit 1; done
	@go vet -tags invariants ./...
	@go vet -tags steps ./...
	@GOARCH=386 go vet -tags steps ./...
	@test ! -f bench/go.mod || (cd bench && go vet ./...)

lint:
	go tool staticcheck ./...
	go tool staticcheck -tags invariants ./...
	go tool staticcheck -tags steps ./...

# govulncheck ends with 3 when it found something. Anything else but 0 means
# that it could not ask (no way to vuln.go.dev): told, and no failure.
vuln:
	@timeout 120 go tool govulncheck ./...; code=$$?; case $$code in \
		0) ;; 3) exit 1 ;; \
		*) echo "govulncheck could not run (code $$code): known vulnerabilities were NOT checked" ;; esac

# The package witness ends this with what was not proven on this machine.
test:
	go test ./...

race:
	CGO_ENABLED=1 go test -race -timeout 20m ./...

# Not from the cache: the go command does not see GOMAXPROCS as an input.
gomaxprocs1:
	GOMAXPROCS=1 go test -count=1 ./...

# Without cgo, as on a machine that has no C compiler; 32 bits never have it here.
nocgo:
	CGO_ENABLED=0 go test ./...
32bit:
	CGO_ENABLED=0 GOARCH=386 go test ./...

# Shared memory on one processor, with a collection every 10 ms: no wait of one
# process for another may stand in the collector's way.
collecting:
	GOMAXPROCS=1 MMAP_TEST_COLLECT=10ms go test -count=1 -timeout 20m ./shm/...

# Every accessor against Close, Resize and Protect, STRESSTIME for each with GOMAXPROCS 1, 2
# and 4; the seeds are printed (MMAP_TEST_SEED repeats one). Then the suite, with assertions
# on, in random order, on one processor and on more than there are.
stress:
	MMAP_STRESS=$(STRESSTIME) go test -tags invariants -count=1 -v -timeout 24h -run '^TestStress$$' .
	CGO_ENABLED=1 MMAP_STRESS=$(STRESSTIME) go test -race -count=1 -v -timeout 24h -run '^TestStress$$' .
	go test -tags invariants -count=$(COUNT) -cpu 1,4 -shuffle on -timeout 24h ./...

# Each promise of the library removed once; a test must notice. Some five minutes on two
# processors. MUTANTS=5 wants it to notice five times in a row.
mutants:
	MMAP_MUTANTS=$(MUTANTS) go test -count=1 -parallel 4 -timeout 1h ./internal/mutants

# Random programs in the engine of vmem and on the kernel: 30 seconds of them,
# or a million steps. What they came to is shown last, and the number of steps.
agree: AGREE ?= 30s
agree-long: AGREE ?= 1000000
agree agree-long:
	@report=$$(mktemp) && MMAP_AGREE=$(AGREE) MMAP_AGREE_REPORT=$$report go test -count=1 -timeout 1h ./internal/agree && \
		cat $$report; code=$$?; rm -f $$report; exit $$code

# The engine edits a file of 1 GiB through 64 MiB of frames. Some twenty seconds.
large:
	MMAP_LARGE=1 go test -count=1 -v -run TestLargerThanMemory ./vmem

# Shared memory: every order of the steps of each protocol within larger bounds
# (some ten minutes), and a thousand processes killed under load for each kind of ring
# (two minutes).
model:
	MMAP_MODEL=1 go test -tags steps -count=1 -timeout 1h -run '^TestModel' -v ./shm/...

kills:
	MMAP_KILLS=$(KILLS) go test -count=1 -timeout 30m -run '^TestRandomKills$$' -v ./shm/...

# What any net.Conn must do (golang.org/x/net/nettest), a hundred times.
nettest:
	CGO_ENABLED=1 go test -race -count=100 -run TestNettest ./shm/shmnet

bench:
	cd bench && go run . $(BENCHFLAGS)

fuzz:
	@for p in $(TESTED); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done
