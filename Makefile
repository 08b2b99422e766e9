# Dwiarah: make help lists the targets.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

MODULES := schemas ingest enrich sink deploy/standalone
BUILD   := $(CURDIR)/.build
BIN     := $(BUILD)/bin
ARGS    ?=

# No C toolchain is needed anywhere; each module stands on its own go.mod, the workspace is for editors.
export CGO_ENABLED := 0
export GOWORK      := off
export GOFLAGS     := -buildvcs=false

STATICCHECK_VERSION := v0.8.2
GOVULNCHECK_VERSION := v1.9.0
GITLEAKS_VERSION    := v8.30.1
PROTOC_GEN_GO       := v1.36.12
PROTOC_GEN_VT       := v0.6.0
# Everything but the comment forms that a package of one purpose does not need, initialisms, a declaration's type for the reader, and that an error may not
# begin with a name (Kafka).
CHECKS := all,-ST1000,-ST1003,-ST1005,-ST1020,-ST1021,-ST1022,-ST1023
BUF_VERSION         := 1.75.0
PLAYWRIGHT_VERSION  := 1.65.1

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: build
build: ## build every command into .build/bin
	@mkdir -p $(BIN)
	@for m in ingest enrich sink; do echo "building $$m"; (cd $$m && go build -o $(BIN)/$$m ./cmd/$$m); done
	@echo "building dwiarah"; cd deploy/standalone && go build -o $(BIN)/dwiarah .

.PHONY: engine
engine: ## fetch the embedded ClickHouse engine into the user's cache (about 180 MB, once)
	@sh deploy/standalone/engine-lib/install.sh

.PHONY: demo
demo: engine build ## run the whole way on the bundled sample and serve the page (ARGS=--exit ends by itself)
	@$(BIN)/dwiarah demo --data $(BUILD)/demo $(ARGS)

# Many tests wait longer than they compute: for sessions to end, brokers and engines to start, polls to be due. So two of the tiers run at a time, and of a package more parallel
# tests than there are processors. The longest tier comes first.
TIERS   := test-kafka $(MODULES:%=test-module-%)
GO_TEST := go test -timeout 20m -parallel 8

.PHONY: test
test: engine kafka-jars playwright ## pass every test of every module, on the embedded and on the real Kafka
	@$(MAKE) --no-print-directory --jobs=2 $(TIERS)

.PHONY: $(MODULES:%=test-module-%)
$(MODULES:%=test-module-%): test-module-%: engine playwright
	@echo "== testing $*"
	@cd $* && go vet ./... && DWIARAH_PLAYWRIGHT=$(BUILD)/playwright $(GO_TEST) ./...

.PHONY: test-kafka
test-kafka: engine kafka-jars ## run what speaks to Kafka on Apache Kafka (Java 17, KRaft, loopback)
	@echo "== testing on Apache Kafka"
	@cd schemas && DWIARAH_KAFKA_JARS=$(BUILD)/kafka $(GO_TEST) -count=1 ./kit/kafka/...
	@cd sink && DWIARAH_KAFKA_JARS=$(BUILD)/kafka $(GO_TEST) -count=1 -run 'TestDeadLettersAre|TestVerify' ./cmd/sink
	@cd deploy/standalone && DWIARAH_KAFKA_JARS=$(BUILD)/kafka $(GO_TEST) -count=1 -run TestShortScheduleOnKafka ./internal/chaos

.PHONY: kafka-jars
kafka-jars: $(BUILD)/kafka/.complete
$(BUILD)/kafka/.complete: deploy/kafka/pom.xml
	@echo "fetching Apache Kafka's jars from Maven Central (about 130 MB, once)"
	@rm -rf $(BUILD)/kafka && mkdir -p $(BUILD)/kafka
	@mvn -q -B -f deploy/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=$(BUILD)/kafka
	@touch $@

.PHONY: playwright
playwright: $(BUILD)/playwright/.complete
$(BUILD)/playwright/.complete: deploy/standalone/internal/page/browser/package-lock.json
	@echo "fetching playwright-core $(PLAYWRIGHT_VERSION) (a driver only; the browser is the system's Chromium)"
	@rm -rf $(BUILD)/playwright && mkdir -p $(BUILD)/playwright
	@cp deploy/standalone/internal/page/browser/package*.json $(BUILD)/playwright/
	@cd $(BUILD)/playwright && npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: lint
lint: $(BIN)/staticcheck $(BIN)/govulncheck $(BIN)/gitleaks ## gofmt, go vet, staticcheck, buf lint, secrets, known vulnerabilities
	@unformatted=$$(gofmt -l $(MODULES)); if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
	@for m in $(MODULES); do echo "== linting $$m"; (cd $$m && go vet ./... && $(BIN)/staticcheck -checks "$(CHECKS)" ./...); done
	@echo "== linting the wire form"; cd schemas/proto && npx --yes @bufbuild/buf@$(BUF_VERSION) lint
	@echo "== looking for secrets"; $(BIN)/gitleaks dir . --no-banner --redact --verbose
	@for m in $(MODULES); do echo "== known vulnerabilities of $$m"; code=0; (cd $$m && $(BIN)/govulncheck ./...) || code=$$?; \
		case $$code in 0) ;; 3) exit 1 ;; *) echo "NOT CHECKED: govulncheck could not read its database, vuln.go.dev" ;; esac; done

$(BIN)/staticcheck:
	@GOBIN=$(BIN) go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
$(BIN)/gitleaks:
	@GOBIN=$(BIN) go install github.com/zricethezav/gitleaks/v8@$(GITLEAKS_VERSION)
$(BIN)/govulncheck:
	@GOBIN=$(BIN) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

.PHONY: fmt
fmt: ## format the code
	@gofmt -w $(MODULES)

.PHONY: generate
generate: ## write the wire form's Go code anew from schemas/proto
	@GOBIN=$(BIN) go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO)
	@GOBIN=$(BIN) go install github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto@$(PROTOC_GEN_VT)
	@cd schemas/proto && PATH=$(BIN):$$PATH npx --yes @bufbuild/buf@$(BUF_VERSION) generate

.PHONY: bench
bench: engine ## measure the whole way with a peer and the engine's limit beside it (into deploy/standalone/bench/), and each part's own benchmarks
	@mkdir -p $(BIN); echo "building the peer, an OpenTelemetry Collector"; cd deploy/standalone/bench/peer && go build -o $(BIN)/peer .
	@cd deploy/standalone && go run ./bench --peer $(BIN)/peer --out bench/$$(date -u +%F).md
	@for m in $(MODULES); do echo "== benchmarks of $$m"; (cd $$m && go test -run '^$$' -bench . -benchmem ./...); done

SEED    ?= 1
FAULTS  ?= all
SECONDS ?= 60

.PHONY: chaos
chaos: engine ## run the pipeline under faults: make chaos SEED=7 FAULTS=F1,F4 SECONDS=600; ends with one line of verdict
	@cd deploy/standalone && go run ./chaos --seed $(SEED) --faults $(FAULTS) --seconds $(SECONDS) $(ARGS)

.PHONY: soak
soak: engine ## half an hour of load without faults; memory, descriptors, goroutines and parts have to stay flat
	@cd deploy/standalone && go run ./chaos --seed $(SEED) --faults none --seconds 1800 --flat $(ARGS)

FUZZTIME ?= 10m

.PHONY: fuzz
fuzz: engine ## feed every parser of foreign bytes with made-up ones, each for FUZZTIME; what one of them finds is kept in its testdata
	@for m in $(MODULES); do cd $(CURDIR)/$$m; for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -rn1 dirname | sort -u); do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z]*' $$p/*_test.go | cut -d' ' -f2); do echo "== fuzzing $$m $$p $$f"; \
		go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p; done; done; done

# The data sets are no part of the project: enrich/models/DATA_CARD.md lists them.
DATA ?= $(CURDIR)/../shared/data

MESSAGES ?= 1000000
STORE    ?= $(BUILD)/metrics-$(MESSAGES)
SCALE    := cd sink && go test ./internal/scale -count=1 -v -timeout 5h

.PHONY: bench-metrics-load
bench-metrics-load: engine ## load MESSAGES messages of two years into STORE, which is kept; goes on with what is there (10000000 takes an hour)
	@mkdir -p $(STORE) && $(SCALE) -run TestLoad -messages $(MESSAGES) -data $(STORE)

.PHONY: bench-metrics
bench-metrics: bench-metrics-load ## measure every view over them into deploy/standalone/bench/ (SMALLER=a store measured before, to see how the same questions grow)
	@$(SCALE) -run TestViewsAtScale -data $(STORE) $(if $(SMALLER),-smaller $(SMALLER)) -page $(CURDIR)/deploy/standalone/bench/$$(date -u +%F)-metrics-$(MESSAGES).md $(ARGS)

.PHONY: bench-deletion
bench-deletion: engine ## delete one in a hundred of MESSAGES messages: hidden at once, erased down to the bytes, not brought back by a replay
	@$(SCALE) -run TestDeletionAtScale -messages $(MESSAGES) $(ARGS)

.PHONY: train
train: ## train the model anew and write its card (DATA=folder; SEQ=n numbers a new release); one code and data give one file
	@cd enrich && go run ./cmd/enrich train --data $(DATA) --out models $(if $(SEQ),--seq $(SEQ)) && \
		go run ./cmd/enrich evaluate --all --data $(DATA) --card models/MODEL_CARD.md

.PHONY: eval
eval: ## measure the released model on every set, in one table (DATA=folder)
	@cd enrich && go run ./cmd/enrich evaluate --all --data $(DATA)

.PHONY: clean
clean: ## remove what was built, and the demo's data
	@rm -rf $(BUILD)
