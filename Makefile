# Each line a user needs; the work is cargo's or a file's in scripts/.
.PHONY: demo test prove kill-matrix bench quality models kernels gpu-check gpu-training-check lint setup
.DEFAULT_GOAL := test

demo:            ## The main job on embedded defaults, for as long as you like (Ctrl-C ends it with a report)
	cargo run --release -- demo

setup:           ## What the tests need from the package registries: brokers, browser, checkers, compilers
	scripts/setup

test: setup      ## Everything CI runs: samples of every property, real broker, real browser
	scripts/test

prove: setup     ## The same tests at full counts
	EDDY_CASES=100000 EDDY_SEEDS=10000 EDDY_KEYS=1000000 EDDY_EVENTS=200000 EDDY_KILLS=50 EDDY_KAFKA_MESSAGES=1000000 scripts/test

kill-matrix: setup ## 200,000 events and 50 kills with broker, disk and receivers in trouble; written to benches/
	scripts/kill-matrix

bench: setup     ## First figures: events/s, socket to verdict; written to benches/
	scripts/bench

quality:         ## Eddy on labelled series beside baselines; DATA=folder of the series, EVAL=folder of the evaluator, ONLY=nab,asd
	scripts/quality "$(DATA)" "$(EVAL)" $(if $(ONLY),--only $(ONLY)) $(if $(NOTE),--note "$(NOTE)")

models:          ## Train the demo's model on a simulated history
	scripts/train-demo-model

kernels: setup   ## Compile kernels/*.cu to the PTX that is checked in; prints what each takes. Needs no GPU
	target/cuda-venv/bin/python scripts/kernels

gpu-check: setup ## On a machine with a GPU: its bits beside the CPU's, sanitizers, and how fast it is
	scripts/gpu-check

gpu-training-check: ## Compile what trains on a GPU, with NVIDIA's toolkit and without a GPU; takes minutes
	scripts/gpu-training-check

lint:            ## Formatting, lints, docs
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --release --no-deps
