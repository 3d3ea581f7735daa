# `make` alone lists every target that has a `##`.

# Use the distribution's Python, which finds the distribution's pytest. The first one on
# PATH may be pyenv's or conda's, whose settings are not meant for ours.
PYTHON := /usr/bin/python3
unexport PYTHONHOME PYTHONPATH
export PYTHONNOUSERSITE := 1

.PHONY: help setup grade watch clean isolation pull-request comment
.NOTPARALLEL: # run targets one after the other, even in `make -j setup grade`

help: ## list all targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install what grading needs
	@grader/setup.sh grade

# More options: JSON=FILE HTML=FILE MARKDOWN=FILE SEED=N ISOLATION=auto|required|off
# JOBS=N (checks at once) BUDGET=SECONDS.
# If points were lost, the grader exits with 1, and make says "Error 1" and exits
# with 2.
grade: | $(PYTHON) ## grade stages/; options: STAGE=3 ONLY=echo SUBMISSION=DIR
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

watch: | $(PYTHON) ## grade again after every save; options: STAGE=3 ONLY=echo
	@$(PYTHON) -m grader watch $$STAGE \
		$${SUBMISSION:+--submission "$$SUBMISSION"} \
		$${ONLY:+--only "$$ONLY"}

pull-request: | $(PYTHON) ## grade a pull request checked out in HEAD=...
	@$(PYTHON) -m grader pull-request $${HEAD:+"$$HEAD"} $${OUT:+--out "$$OUT"}

comment: | $(PYTHON) ## comment on the pull request that left ARTIFACT=...
	@$(PYTHON) -m grader comment $${ARTIFACT:+"$$ARTIFACT"}

isolation: | $(PYTHON) ## allow what isolation needs, until the next boot
	@$(PYTHON) -m grader isolation

$(PYTHON):
	@echo "no $@ here: run 'make setup' first" >&2; exit 2

clean: ## remove everything that was built
	@for makefile in stages/*/Makefile; do \
		$(MAKE) --no-print-directory -C "$${makefile%/*}" clean || exit; done
	rm -f stages/*/*.o
	rm -rf .mypy_cache grader/.gcc_cache
	find grader -name __pycache__ -prune -exec rm -rf {} +

# not in a handout

.PHONY: solutions test matrix verdicts program golden scenarios flake bench class
.PHONY: merge compare handout gradescope setup-test setup-lint lint linters format

solutions: export SUBMISSION := solutions
solutions: | $(PYTHON) ## grade solutions/, which get full marks
	@$(GRADE)

# Some tests run make, and must not inherit the options of this one. Quick tests mostly
# wait, so it pays to run more of them than there are processors.
test: | $(PYTHON) ## test the grader; options: QUICK=1 PYTEST_ARGS="-k setup"
	@env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 \
		$(PYTHON) -m pytest -p no:cacheprovider -p xdist --dist loadfile \
		$(if $(QUICK),-n 4 --quick,-n 2) $(PYTEST_ARGS) grader/tests

# More options: HESITANT=1, and TABLE=FILE, which gets all verdicts as a plain table.
matrix: | $(PYTHON) ## show the verdicts on all programs, or PROGRAMS=3/spins
	@$(PYTHON) -m grader.tests.matrix $(if $(HESITANT),--hesitant) \
		$${TABLE:+--table="$$TABLE"} $(PROGRAMS)

# If a verdict changed, verdicts exits with 1, and make says "Error 1" and exits with 2.
verdicts: | $(PYTHON) ## show which verdicts differ in two tables, OLD=... NEW=...
	@$(PYTHON) -m grader.tests.verdicts "$$OLD" "$$NEW"

program: | $(PYTHON) ## write NAME=3/blocking_send to DIR=...; with SAVE=1, save it
	@$(PYTHON) -m grader.tests.programs $(if $(SAVE),--save) -- "$$NAME" "$$DIR"

golden: | $(PYTHON) ## regenerate the lessons of all wrong programs, or PROGRAMS=...
	@$(PYTHON) -m grader.tests.golden $(if $(MERGE),--merge) $(PROGRAMS)

scenarios: | $(PYTHON) ## regenerate the scenarios of any order
	@$(PYTHON) -m grader.tests.scenarios

flake: | $(PYTHON) ## grade right programs RUNS=100 times, and count failures
	@$(PYTHON) -m grader.tests.flake $(or $(RUNS),100) $(AT_ONCE)

bench: | $(PYTHON) ## measure what grading costs, two ways in turn
	@$(PYTHON) -m grader.tests.benchmark

# More options: JOBS=N, and SHARD=1/4 for a part of the class.
class: | $(PYTHON) ## grade SUBMISSIONS=... into OUT=..., or resume; AGAIN=NAME
	@$(PYTHON) -m grader class $${SUBMISSIONS:+"$$SUBMISSIONS"} \
		$${OUT:+--out "$$OUT"} $${JOBS:+--jobs "$$JOBS"} \
		$${SHARD:+--shard "$$SHARD"} $${AGAIN:+--again "$$AGAIN"}

merge: | $(PYTHON) ## merge graded shards from SHARDS=... into OUT=...
	@$(PYTHON) -m grader merge $${SHARDS:+"$$SHARDS"/*} $${OUT:+--out "$$OUT"}

# If a grade changed, compare exits with 1, and make says "Error 1" and exits with 2.
compare: | $(PYTHON) ## show whose grade changed, and why, from OLD=... to NEW=...
	@$(PYTHON) -m grader compare $${OLD:+"$$OLD"} $${NEW:+"$$NEW"}

handout: | $(PYTHON) ## write the students' repository, without solutions, to DIR=...
	@$(PYTHON) -m grader handout $${DIR:+"$$DIR"}

gradescope: | $(PYTHON) ## write Gradescope's autograder to FILE=autograder.zip
	@$(PYTHON) -m grader gradescope $${STAGE:+--stage "$$STAGE"} \
		"$${FILE:-autograder.zip}"

# Ubuntu has Chromium only as a snap; the tests use Chrome there, if it is installed.
setup-test: ## install what testing the grader also needs
	@grader/setup.sh test
	@. /etc/os-release; [ "$$ID" != debian ] || grader/setup.sh browser

setup-lint: ## install what lint and format need
	@grader/setup.sh lint

C_FILES = $(wildcard stages/*/*.[ch] solutions/*/*.[ch] grader/*/*.c \
	grader/stages/*/*.[ch] $(TOY)/*/N/*.[ch] $(TOY)/grader/*/N/*.[ch])
TOY := grader/tests/toy_stage
C_FLAGS := -std=gnu17 -Wall -Wextra -Werror
C_STRICT := $(C_FLAGS) -Wshadow -Wconversion -Wstrict-prototypes -O2 -fanalyzer
STAGES := $(notdir $(wildcard stages/*))
LINTERS := clang-format clang-tidy black flake8 mypy shellcheck yamllint

# Use the distribution's tools, for the same reason as its Python.
lint format: export PATH := /usr/bin:/bin

lint: linters $(STAGES:%=lint-%) ## check C, Python, shell and YAML for mistakes
	clang-format --dry-run -Werror $(C_FILES)
	black --check grader
	flake8 grader
	mypy grader
	for stage in grader/stages/[0-9]* $(TOY)/grader/stages/N; do \
		mypy $$stage/*.py || exit; done
	shellcheck grader/setup.sh grader/teaching/gradescope/* .ci/run
	yamllint --strict .github .yamllint
	$(PYTHON) -m grader.tests.workflows $(wildcard .github/workflows/*.yml)

# 2>/dev/null hides clang-tidy's count of warnings in system headers.
lint-%:
	gcc $(C_FLAGS) -S -o /dev/null stages/$*/*.c
	gcc $(C_STRICT) -I stages/$* -S -o /dev/null solutions/$*/*.c
	gcc $(C_FLAGS) -I stages/$* -I grader/stages/common -S -o /dev/null \
		grader/stages/$*/milestones.c
	clang-tidy --quiet solutions/$*/*.c -- -std=gnu17 -I stages/$* 2>/dev/null

linters:
	@for tool in gcc $(LINTERS); do command -v $$tool >/dev/null || \
		{ echo "no $$tool here: run 'make setup setup-lint' first" >&2; exit 2; }; done

format: linters ## format C and Python
	clang-format -i $(C_FILES)
	black --quiet grader

# in a handout again
