# Thin aliases; each line below is what one would type. `make repro` and `make test` are all that a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
ACTIVE := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: repro verify accept test test-extras test-studies demo-extra vlm-extra lint lock experiments predict demo vlm export pr-report documents repeats ablation learning-curve
repro: $(BIN)/.installed  # dvc repro, and first how long it will take here
	@$(ACTIVE) python -m tools.repro
	@echo "The report: report/report.html"

COMMIT ?= HEAD
verify: $(BIN)/.installed  # runs a commit again in a clean clone and compares; TARGET=train@run2: one stage
	@$(ACTIVE) python -m tools.referee.verify $(TARGET) --commit "$(COMMIT)"

test: $(BIN)/.installed
	@$(ACTIVE) python -m pytest --ignore=tests/studies

test-extras: demo-extra vlm-extra  # those of what `make demo` and `make vlm` need
	@$(ACTIVE) python -m pytest -m extra --ignore=tests/studies

test-studies: $(BIN)/.installed  # the tests that run whole studies: the docs' commands, kills, referees, several processes
	@$(ACTIVE) python -m pytest tests/studies

accept: $(BIN)/.installed  # records a refactoring in dvc.lock without training, if a study of seconds comes out the same
	@$(ACTIVE) python -m tools.dev.accept

lint: $(BIN)/.installed
	$(ACTIVE) ruff check . && $(ACTIVE) ruff format --check . && $(ACTIVE) mypy

COMPILE = $(ACTIVE) uv pip compile --universal --python-version 3.11 --no-emit-find-links --upgrade --quiet \
	--custom-compile-command "make lock"
DECIDING = torch|torchvision|numpy|pillow|opencv-python-headless|scikit-learn|accelerate|grad-cam
VERSIONS = Versions of the libraries that decide numbers, of requirements.txt: made by 'make lock', checked by every stage.
lock: $(BIN)/.installed  # requirements.in -> requirements.txt, then those of the extras, which keep to it
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) --overrides requirements-demo.overrides requirements-demo.in -o requirements-demo.txt
	$(COMPILE) requirements-vlm.in -o requirements-vlm.txt
	{ echo "# $(VERSIONS)"; grep -E "^($(DECIDING))==" requirements.txt; } > versions.txt

# The columns one reads first: what differs between experiments, of the metrics the two on validation that one
# chooses by. The full table: dvc exp show
experiments: $(BIN)/.installed
	@$(ACTIVE) dvc exp show --no-pager --only-changed --precision 3 --drop '.*/' \
		--drop '.*\.(train_accuracy|test_accuracy|test_macro_f1|gap|last_epoch_gap|selected_epoch)$$'

documents: $(BIN)/.installed  # the outputs and pictures that docs/ shows, made anew
	$(ACTIVE) python -m tools.dev.documents

predict: $(BIN)/.installed  # PICTURES="photos face.jpg": what the best network sees in them; more: python -m tools.serve.predict -h
	@$(ACTIVE) python -m tools.serve.predict $(PICTURES)

MODEL ?= models/best_resnet50.pth
PORT ?= 7860
demo: demo-extra  # a page on this computer that shows what the network sees in a picture
	@$(ACTIVE) python -m tools.serve.demo --model "$(MODEL)" --port $(PORT)

vlm: vlm-extra  # a vision-language model about the same images, in the same table: docs/vlm.md
	$(ACTIVE) dvc repro vlm/dvc.yaml
	@echo "The report: vlm/report/report.html"

export: $(BIN)/.installed  # the best network as safetensors and ONNX, with its model card
	@$(ACTIVE) python -m tools.serve.export

BASE ?= main
pr-report: $(BIN)/.installed  # what the working tree changes against BASE, as Markdown; its figures in pr-report/
	@$(ACTIVE) python -m tools.referee.pr_report --base "$(BASE)" --images pr-report

# Of the last commit, each seed an experiment of its own; the same command goes on where it was cut off.
SEEDS ?= 0 1 2 3 4
NAME ?= repeat
JOBS ?= 1
EXPERIMENTS = $(foreach change,$(SET),--set '$(change)') $(if $(RUNS),--runs $(RUNS)) $(if $(SCORES_ONLY),--scores-only) --jobs $(JOBS)
repeats: $(BIN)/.installed  # DATA_SEEDS="0 1": of the drawn faces, too; SET="train.epochs=20" NAME=longer: all with that
	@$(ACTIVE) python -m tools.repeats --seeds $(SEEDS) $(if $(DATA_SEEDS),--data-seeds $(DATA_SEEDS)) \
		$(if $(IN_ADVANCE),--named-in-advance $(IN_ADVANCE)) $(if $(AGAINST),--against $(AGAINST)) --name "$(NAME)" $(EXPERIMENTS)

RUN ?= run4
BASE_RUN ?= run1
WAYS ?= with without
ablation: $(BIN)/.installed  # what each ingredient of RUN carries, on validation
	@$(ACTIVE) python -m tools.ablation --run $(RUN) --base $(BASE_RUN) --ways $(WAYS) --seeds $(SEEDS) \
		$(foreach change,$(SET),--set '$(change)') --jobs $(JOBS)

FRACTIONS ?= 0.125 0.25 0.5 1
learning-curve: $(BIN)/.installed
	@$(ACTIVE) python -m tools.learning_curve --fractions $(FRACTIONS) --seeds $(SEEDS) $(EXPERIMENTS)

$(BIN)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one: make repro PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Installing into .venv: some minutes, 6 GB"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

demo-extra: $(BIN)/.demo-installed
vlm-extra: $(BIN)/.vlm-installed

# No dependencies: the lock names them all, with the study's versions of what gradio would have older.
$(BIN)/.%-installed: requirements-%.txt $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@
