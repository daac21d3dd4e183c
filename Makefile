# make demo   sets everything up and rehearses examples/production.yaml
# make test   sets everything up and passes every test
# make vm-test   what needs a kernel or a reboot of its own, under QEMU
.PHONY: docs man install uninstall wheel deb rpm pyz packaging-tools demo test vm-test soak lint format pictures captures bench bench-quick clean tools dev-tools vm-tools browser-tools bench-tools

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# most tests wait for a kernel, a daemon or a guest most of the time; a container may see more processors than it has, and
# with four workers for each of two processors what asks within a second was late now and then
JOBS   ?= $(shell n=$$(nproc); echo $$((n < 3 ? 3 * n : 8)))
# each worker of the tests would compile all of them anew
unexport PYTHONDONTWRITEBYTECODE
VM_JOBS ?= 2
# as pip does for an installed package: a verb of a tree in place must not compile itself each time it is run
COMPILE = @$(BIN)/python -m compileall -q src

demo: tools $(VENV)/.installed
	$(BIN)/bascule rehearse examples/production.yaml

test: dev-tools vm-tools browser-tools $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) --dist worksteal tests

# VLANs, bonds and VLAN-aware bridges on Debian's kernel, reboots for each network manager, each package in a bare
# machine: some fifteen minutes
vm-test: dev-tools $(VENV)/.dev
	@WISHED=1 scripts/need qemu-system-x86_64 busybox debootstrap mke2fs dpkg-buildpackage dh dh_python3 rpmbuild \
		lintian rpmlint
	BASCULE_VM=1 $(BIN)/pytest -n $(VM_JOBS) --dist worksteal -rA --show-capture=no tests/vm tests/packages

# every kill point, 250 random pairs of states, 100,000 hostile frames for each decoder, 20,000 mutated captures and broken files for each
# dialect, every tool of attackers against the guards: some twenty minutes
soak: dev-tools $(VENV)/.dev
	@WISHED=1 scripts/need arping hping3 packit yersinia dhcpstarv bettercap avahi-daemon avahi-resolve
	$(BIN)/python -m tests.survey.fuzz 100000
	$(BIN)/python -m tests.survey.mutations 20000
	$(BIN)/python -m tests.oracle 10000 1000000
	BASCULE_SOAK=1 $(BIN)/pytest -n $(JOBS) --dist worksteal --timeout 1800 tests/apply \
		tests/persist/test_bad_input.py tests/persist/test_round_trip.py tests/persist/test_port_moves.py tests/guards tests/ovs tests/random_sites tests/random_hosts tests/random_boots \
		tests/importer/test_readers_agree.py tests/twin/test_real_guests.py

lint: dev-tools $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# the drawings in the documentation, from the site files beside them; `make test` fails where one is old
pictures: $(VENV)/.dev
	UPDATE=1 $(BIN)/pytest -q -n 0 tests/draw/test_pictures.py

# frames of a made-up building, for the survey of the how-to "find your cables"
captures: $(VENV)/.dev
	$(BIN)/python -m tests.survey.captures

tools:
	@scripts/need ip bridge nft dnsmasq venv

dev-tools:
	@scripts/need ip bridge nft dnsmasq ethtool tcpdump dot ping ssh sshd lldpd radvd keepalived venv
	@WISHED=1 scripts/need zsh fish ipset arpspoof mausezahn atk6-fake_router26 arp-scan udhcpc cc ovs-vswitchd

# real guests, libvirt and DHCP clients: 32 MB to fetch, 110 MB on disk, about a minute; tests without them skip and
# say so
vm-tools:
	@WISHED=1 scripts/need qemu-system-x86_64 libvirtd virsh busybox python3-libvirt qemu-ga \
		dhclient udhcpc dhcpcd

# the served page and the report in a real browser, and pictures as PNG and PDF: 130 MB to fetch, 450 MB on disk, about a minute; without it they skip
browser-tools:
	@WISHED=1 scripts/need chromium chromedriver rsvg-convert

# a peer that cannot be installed is left out, and the figures say so; ifupdown, ifupdown2, NetworkManager and netplan
# are unpacked below var/readers, because installed they would take the machine's network over
bench-tools: tools vm-tools
	@WISHED=1 scripts/need ethtool tcpdump dot ping iperf3
	@WISHED=1 scripts/need mn brctl

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check -e .
	$(COMPILE)
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	$(COMPILE)
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

bench: bench-tools $(VENV)/.dev
	$(COMPILE)
	$(BIN)/python -m benchmarks

bench-quick: bench-tools $(VENV)/.dev
	$(COMPILE)
	$(BIN)/python -m benchmarks --quick

# the manual pages, from the same sources as --help and the schema
man: $(VENV)/.installed
	$(BIN)/python -m bascule.cli.manual build/man

# for all users of this machine: a virtual environment of its own, a link to the program, manual pages and completion
PREFIX ?= /usr/local
LIB    := $(PREFIX)/lib/bascule
SHARE  := $(PREFIX)/share
COMPLETIONS = $(SHARE)/bash-completion/completions/bascule $(SHARE)/zsh/site-functions/_bascule \
	$(SHARE)/fish/vendor_completions.d/bascule.fish
install: tools man
	$(PYTHON) -m venv --system-site-packages $(LIB)
	$(LIB)/bin/pip install -q --disable-pip-version-check .
	install -d $(PREFIX)/bin $(SHARE)/man/man1 $(SHARE)/man/man5 $(dir $(COMPLETIONS))
	ln -sf $(LIB)/bin/bascule $(PREFIX)/bin/bascule
	install -m 0644 build/man/*.1 $(SHARE)/man/man1
	install -m 0644 build/man/*.5 $(SHARE)/man/man5
	$(LIB)/bin/bascule completion bash > $(word 1,$(COMPLETIONS))
	$(LIB)/bin/bascule completion zsh > $(word 2,$(COMPLETIONS))
	$(LIB)/bin/bascule completion fish > $(word 3,$(COMPLETIONS))

# packages, each into dist/; all but the wheel hold the libraries that a distribution may lack or have too old
packaging-tools:
	@scripts/need dpkg-buildpackage dh dh_python3 rpmbuild
	@WISHED=1 scripts/need lintian rpmlint

wheel: $(VENV)/.dev
	rm -rf build/source && packaging/source build/source
	$(BIN)/python -m bascule.cli.manual build/source/man
	$(BIN)/python -m build --outdir dist build/source

build/bundle: $(VENV)/.dev $(shell git ls-files src pyproject.toml packaging/bundle 2>/dev/null)
	PYTHON=$(abspath $(BIN)/python) packaging/bundle $@

deb: packaging-tools build/bundle
	PYTHON=$(abspath $(BIN)/python) packaging/deb build/bundle dist

rpm: packaging-tools build/bundle
	PYTHON=$(abspath $(BIN)/python) packaging/rpm build/bundle dist

# one file for a host without anything but Python 3.11 or later; it unpacks itself once, below ~/.local/share/bascule
# or where it can
pyz: build/bundle
	$(BIN)/python packaging/pyz build/bundle dist/bascule.pyz

# the pages below docs/ as a site in build/docs
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# the network stays as it is, and so does /var/lib/bascule
uninstall:
	rm -rf $(LIB)
	rm -f $(PREFIX)/bin/bascule $(SHARE)/man/man1/bascule.1 $(SHARE)/man/man1/bascule-*.1 $(SHARE)/man/man5/bascule.yaml.5
	rm -f $(COMPLETIONS)
