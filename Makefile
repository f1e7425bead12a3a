# Thin aliases; each line below is what one would type. `make repro` and `make test` are all that a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
ACTIVE := PATH="$(CURDIR)/$(BIN):$$PATH"

# In any locale, and in a container whose user has no name.
export PYTHONUTF8 := 1
export USER ?= $(shell id -un 2>/dev/null)

.PHONY: repro verify accept test test-extras test-studies demo-extra vlm-extra lint lock experiments predict demo vlm export pr-report documents seeds longer learning-curve ablation
repro: $(BIN)/.installed  # what dvc repro makes, stages side by side, and first how long it will take here
	@$(ACTIVE) python -m tools.repro
	@echo "The report: report/report.html"

COMMIT ?= HEAD
verify: $(BIN)/.installed  # runs a commit again in a clean clone and compares; TARGET=train@run2-0: one stage
	@$(ACTIVE) python -m tools.referee.verify $(TARGET) --commit "$(COMMIT)"

test: $(BIN)/.installed
	@$(ACTIVE) python -m pytest --ignore=tests/studies

test-extras: demo-extra vlm-extra  # those of what `make demo` and `make vlm` need
	@$(ACTIVE) python -m pytest -m extra --ignore=tests/studies

STUDIES ?= tests/studies
test-studies: $(BIN)/.installed  # the tests that run whole studies: the docs' commands, kills, referees, several processes
	@$(ACTIVE) python -m pytest $(STUDIES)

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
		--drop '.*\.(train_|test_|gap|last_epoch_gap|selected_epoch).*' --drop '.*_sd$$'

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

# Each is one experiment in this working tree, whose stages run side by side; what is trained already is not trained again.
BASE_RUNS := run1,run2,run3
REPRO = $(ACTIVE) python -m tools.repro $(if $(JOBS),--jobs $(JOBS))
SEEDS ?= 0,1,2,3,4
seeds: $(BIN)/.installed  # SEEDS=0,1,2,3,4: every run with each of them
	@$(REPRO) -S 'study.seeds=[$(SEEDS)]' --name seeds

longer: $(BIN)/.installed  # each run beside a longer training of its recipe: is it under-trained?
	@$(REPRO) -S 'study.runs=[$(BASE_RUNS),run1_longer,run2_longer,run3_longer]' --name longer

learning-curve: $(BIN)/.installed  # run 1 on fewer images
	@$(REPRO) -S 'study.runs=[$(BASE_RUNS),run1_half,run1_quarter,run1_eighth]' --name learning-curve

RUN ?= run4
ablation: $(BIN)/.installed  # RUN=run4: the study with this run, which differs from another in one knob
	@$(REPRO) -S 'study.runs=[$(BASE_RUNS),$(RUN)]' --name ablation-$(RUN)

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
