# Every target sets up what it needs first: a fresh machine with Python 3.11 and make types nothing else.

PYTHON ?= $(shell for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$candidate" && break; done)
BIN := .venv/bin
READY := .venv/.ready
CODE := domain application projections api workers tests bench

.PHONY: run test check fix bench demo lock setup

run: $(READY)
	$(BIN)/tradelog up --seed

test: $(READY)
	$(BIN)/pytest

check: $(READY)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: $(READY)
	$(BIN)/python -m bench

demo: $(READY)
	$(BIN)/tradelog demo

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Tradelog needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The locks: all of it for people and CI, and what runs in production for the image. No registry is named in either.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header pyproject.toml

lock:
	$(COMPILE) --all-extras --output-file requirements.lock
	$(COMPILE) --output-file deploy/requirements.lock

# What compose.yaml asks for: secrets of this machine's own.
.env:
	@umask 077; python3 -c "import base64, secrets; \
	print('POSTGRES_PASSWORD=' + secrets.token_urlsafe(24)); \
	print('JWT_SECRET=' + secrets.token_urlsafe(48)); \
	print('TRADELOG_MASTER_KEY=' + base64.b64encode(secrets.token_bytes(32)).decode()); \
	print('STRIPE_SECRET_KEY=sk_test_' + secrets.token_hex(16)); \
	print('STRIPE_WEBHOOK_SECRET=whsec_' + secrets.token_hex(16))" > $@
