# Every target with a `##` is listed by `make` alone.

# The distribution's Python, which sees the distribution's pytest: the first one
# on PATH may be pyenv's or conda's, and what is set for that one is not for ours.
PYTHON := /usr/bin/python3
unexport PYTHONHOME PYTHONPATH
export PYTHONNOUSERSITE := 1

.PHONY: help setup grade watch clean isolation pull-request comment
.NOTPARALLEL: # in `make -j setup grade`, too, one comes after the other

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install what grading needs
	@grader/setup.sh grade

# Also to choose: JSON=FILE HTML=FILE MARKDOWN=FILE SEED=N ISOLATION=auto|required|off
# JOBS=N (checks at once) BUDGET=SECONDS.
# When points were lost, the grader exits with 1, and make says "Error 1" and exits
# with 2.
grade: | $(PYTHON) ## grade stages/; to choose: STAGE=3 ONLY=echo SUBMISSION=DIR
	@$(GRADE)

GRADE = $(PYTHON) -m grader grade $$STAGE \
		$${SUBMISSION:+--submission "$$SUBMISSION"} \
		$${ONLY:+--only "$$ONLY"} \
		$${JSON:+--json "$$JSON"} \
		$${HTML:+--html "$$HTML"} \
		$${MARKDOWN:+--markdown "$$MARKDOWN"} \
		$${SEED:+--seed "$$SEED"} \
		$${JOBS:+--jobs "$$JOBS"} \
		$${BUDGET:+--budget "$$BUDGET"} \
		$${ISOLATION:+--isolation "$$ISOLATION"}

watch: | $(PYTHON) ## grade again at each save; to choose: STAGE=3 ONLY=echo
	@$(PYTHON) -m grader watch $$STAGE \
		$${SUBMISSION:+--submission "$$SUBMISSION"} \
		$${ONLY:+--only "$$ONLY"}

pull-request: | $(PYTHON) ## grade a pull request's checkout, HEAD=...
	@$(PYTHON) -m grader pull-request $${HEAD:+"$$HEAD"} $${OUT:+--out "$$OUT"}

comment: | $(PYTHON) ## comment on the pull request that left ARTIFACT=...
	@$(PYTHON) -m grader comment $${ARTIFACT:+"$$ARTIFACT"}

isolation: | $(PYTHON) ## allow what isolation needs, until the next boot
	@$(PYTHON) -m grader isolation

$(PYTHON):
	@echo "no $@ here: run 'make setup' first" >&2; exit 2

clean: ## remove what was built
	rm -f stages/*/tcp_server stages/*/tcp_client stages/*/*.o
	rm -rf .mypy_cache grader/.gcc_cache
	find grader -name __pycache__ -prune -exec rm -rf {} +

# not in a handout

.PHONY: solutions test matrix golden stories flake bench class merge compare handout
.PHONY: gradescope setup-test setup-lint lint linters format

solutions: export SUBMISSION := solutions
solutions: | $(PYTHON) ## grade solutions/, which get full marks
	@$(GRADE)

# Some tests run make, and shall not inherit what this one was told. The quick ones
# wait for the most part: more of them than processors share the machine well.
test: | $(PYTHON) ## test the grader itself, or QUICK=1; PYTEST_ARGS="-k setup"
	@env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 \
		$(PYTHON) -m pytest -p no:cacheprovider -p xdist --dist loadfile \
		$(if $(QUICK),-n 4 --quick,-n 2) $(PYTEST_ARGS) grader/tests

matrix: | $(PYTHON) ## show what the grader says of the right and the wrong programs
	@$(PYTHON) -m grader.tests.matrix $(if $(HESITANT),--hesitant) $(PROGRAMS)

golden: | $(PYTHON) ## write down anew what each wrong program is taught
	@$(PYTHON) -m grader.tests.golden $(if $(MERGE),--merge) $(PROGRAMS)

stories: | $(PYTHON) ## make up anew what happens in concurrency/any_order
	@$(PYTHON) -m grader.tests.stories

flake: | $(PYTHON) ## grade every right program RUNS=100 times, and count what fails
	@$(PYTHON) -m grader.tests.flake $(or $(RUNS),100) $(AT_ONCE)

bench: | $(PYTHON) ## measure what grading costs, in several ways side by side
	@$(PYTHON) -m grader.tests.benchmark

# Also to choose: JOBS=N, and SHARD=1/4 for a part of the class.
class: | $(PYTHON) ## grade all SUBMISSIONS=... into OUT=..., or go on; AGAIN=NAME
	@$(PYTHON) -m grader class $${SUBMISSIONS:+"$$SUBMISSIONS"} \
		$${OUT:+--out "$$OUT"} $${JOBS:+--jobs "$$JOBS"} \
		$${SHARD:+--shard "$$SHARD"} $${AGAIN:+--again "$$AGAIN"}

merge: | $(PYTHON) ## put graded shards, SHARDS=..., together in OUT=...
	@$(PYTHON) -m grader merge $${SHARDS:+"$$SHARDS"/*} $${OUT:+--out "$$OUT"}

# When a grade changed, compare exits with 1, and make says "Error 1" and exits with 2.
compare: | $(PYTHON) ## say whose grade changed, and why, from OLD=... to NEW=...
	@$(PYTHON) -m grader compare $${OLD:+"$$OLD"} $${NEW:+"$$NEW"}

handout: | $(PYTHON) ## write what students get, no solutions in it, into DIR=...
	@$(PYTHON) -m grader handout $${DIR:+"$$DIR"}

gradescope: | $(PYTHON) ## write Gradescope's autograder into FILE=autograder.zip
	@$(PYTHON) -m grader gradescope $${STAGE:+--stage "$$STAGE"} \
		"$${FILE:-autograder.zip}"

# Ubuntu has Chromium as a snap only; the tests do with Chrome, where that is.
setup-test: ## install what testing the grader needs besides
	@grader/setup.sh test
	@. /etc/os-release; [ "$$ID" != debian ] || grader/setup.sh browser

setup-lint: ## install what lint and format need
	@grader/setup.sh lint

C_FILES = $(wildcard stages/*/*.[ch] solutions/*/*.[ch] grader/*.c \
	grader/milestones/*.[ch])
C_FLAGS := -std=gnu17 -Wall -Wextra -Werror
C_STRICT := $(C_FLAGS) -Wshadow -Wconversion -Wstrict-prototypes -O2 -fanalyzer
STAGES := $(notdir $(wildcard stages/*))
LINTERS := clang-format clang-tidy black flake8 mypy shellcheck yamllint

# The distribution's tools, for the same reason as its Python.
lint format: export PATH := /usr/bin:/bin

lint: linters $(STAGES:%=lint-%) ## look for faults in C, Python, shell and YAML
	clang-format --dry-run -Werror $(C_FILES)
	black --check grader
	flake8 grader
	mypy grader
	shellcheck grader/setup.sh grader/gradescope/* .ci/run
	yamllint --strict .github .yamllint
	$(PYTHON) -m grader.tests.workflows $(wildcard .github/workflows/*.yml)

# What clang-tidy hides here is its count of warnings in the system's headers.
lint-%:
	gcc $(C_FLAGS) -S -o /dev/null stages/$*/*.c
	gcc $(C_STRICT) -I stages/$* -S -o /dev/null solutions/$*/*.c
	gcc $(C_FLAGS) -I stages/$* -S -o /dev/null grader/milestones/stage_$*.c
	clang-tidy --quiet solutions/$*/*.c -- -std=gnu17 -I stages/$* 2>/dev/null

linters:
	@for tool in gcc $(LINTERS); do command -v $$tool >/dev/null || \
		{ echo "no $$tool here: run 'make setup setup-lint' first" >&2; exit 2; }; done

format: linters ## lay out C and Python
	clang-format -i $(C_FILES)
	black --quiet grader

# in a handout again
