# Packaging and template checks. Everything else is plain Cargo: `cargo run`, `cargo test`.
#
#   make package           both zips, for Lambda and for Function Compute
#   make check-templates   template.yaml, s.yaml, deploy, and the commands on the deploy pages
#
# Packaging needs cargo-lambda with zig, which links against an old enough glibc without Docker:
#   python3 -m venv .venv && .venv/bin/pip install cargo-lambda ziglang && export PATH="$PWD/.venv/bin:$PATH"
# A release build with link-time optimisation took 8 minutes on two cores, each processor anew.

# Processor of the Lambda function, arm64 or x86_64; must equal Architecture in template.yaml.
# Function Compute has x86_64 only.
LAMBDA_ARCH ?= arm64
# Further options for `cargo lambda build`, such as --offline.
CARGO_FLAGS ?=
PYTHON ?= python3
# Apart from the .venv above: SAM and the checks want different versions of the same packages.
CHECKS_VENV ?= .tools/templates

# Amazon Linux 2023 has glibc 2.34, custom.debian12 has 2.36.
LAMBDA_GLIBC = 2.34
FC_GLIBC = 2.36

LAMBDA_CODE = target/lambda/$(LAMBDA_ARCH)
FC_CODE = target/fc/code
LICENSES = target/THIRD_PARTY_LICENSES
BUILD = cargo lambda build --release --locked --bin bootstrap $(CARGO_FLAGS)

ifeq ($(filter $(LAMBDA_ARCH),arm64 x86_64),)
$(error LAMBDA_ARCH is $(LAMBDA_ARCH), must be arm64 or x86_64)
endif
BUILD_FOR_arm64 = --arm64
BUILD_FOR_x86_64 = --x86-64

.PHONY: package package-lambda package-fc build-UploadFunction check-templates test-templates cargo-lambda $(LICENSES)

package: package-lambda package-fc

package-lambda: cargo-lambda $(LICENSES)
	$(BUILD) $(BUILD_FOR_$(LAMBDA_ARCH)) --lambda-dir $(LAMBDA_CODE) --flatten bootstrap
	$(PYTHON) scripts/package $(LAMBDA_CODE)/bootstrap --arch $(LAMBDA_ARCH) --max-glibc $(LAMBDA_GLIBC) \
		--with $(LICENSES) --zip target/lambda/chat-upload-$(LAMBDA_ARCH).zip

# s.yaml deploys the folder; the zip is for the console.
package-fc: cargo-lambda $(LICENSES)
	$(BUILD) $(BUILD_FOR_x86_64) --lambda-dir $(FC_CODE) --flatten bootstrap
	cp $(LICENSES) $(FC_CODE)/
	$(PYTHON) scripts/package $(FC_CODE)/bootstrap --arch x86_64 --max-glibc $(FC_GLIBC) \
		--with $(LICENSES) --zip target/fc/chat-upload-fc.zip

# Called by `sam build`, which names it after the function in template.yaml and packages ARTIFACTS_DIR.
build-UploadFunction: package-lambda
	cp $(LAMBDA_CODE)/bootstrap $(LICENSES) "$(ARTIFACTS_DIR)/"

cargo-lambda:
	@command -v cargo-lambda >/dev/null || { echo 'cargo-lambda is not in PATH. To get it, with zig:'; \
		echo '  python3 -m venv .venv && .venv/bin/pip install cargo-lambda ziglang && export PATH="$$PWD/.venv/bin:$$PATH"'; \
		exit 1; } >&2

$(LICENSES):
	$(PYTHON) scripts/third-party-licenses --output $@

$(CHECKS_VENV)/ok: scripts/requirements-templates.txt
	$(PYTHON) -m venv $(CHECKS_VENV)
	$(CHECKS_VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

check-templates: $(CHECKS_VENV)/ok
	$(CHECKS_VENV)/bin/python scripts/check-templates

# Breaks copies of the templates, one fault at a time; check-templates has to find each. Runs deploy/fc/setup against stand-ins.
test-templates: $(CHECKS_VENV)/ok
	$(CHECKS_VENV)/bin/python -m unittest scripts/test_check_templates.py scripts/test_fc_setup.py
