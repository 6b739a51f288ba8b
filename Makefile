# make train: from a clean clone to a trained MoE-PPO and its score.  make test: everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := runs

.PHONY: install train test faults audit lint types completeness bench report pages docs calibrate clean

install: $(VENV)/installed

# torch first and alone: without the constraint pip would take a build with several gigabytes of CUDA
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

train: install
	$(BIN)/rllib train file configs/train/moe_ppo.py --env edge_experts/netmoe-v1 --name netmoe_moe_ppo --local-dir $(RUNS)
	$(BIN)/edge-experts evaluate "$$(ls -td $(RUNS)/netmoe_moe_ppo*/checkpoint_* | head -n 1)" myopic \
		--env edge_experts/netmoe-v1 --episodes 300 --json $(RUNS)/netmoe_moe_ppo.json

test: install lint types
	$(BIN)/python -m pytest -n 2 --dist worksteal

# ten minutes of kills, cuts, flipped bits and full disks
faults: install
	$(BIN)/python tests/faults.py --seconds 600 --seed 0

# a bill of materials of what is installed, and known weaknesses in it, where the database can be reached
audit: install
	@mkdir -p $(RUNS)
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet cyclonedx-bom pip-audit
	$(VENV)/audit/bin/cyclonedx-py environment $(BIN)/python --output-file $(RUNS)/sbom.json
	@echo "wrote $(RUNS)/sbom.json"
	$(VENV)/audit/bin/pip-audit --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		|| echo "weaknesses were found, or their database was not reached: see above"

lint: install
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy -p edge_experts.envs -p edge_experts.agents -p edge_experts.recording -p edge_experts.federated -p edge_experts.baselines

# how complete the types of public names are, and which are left
completeness: install
	-PYTHONPATH=src $(BIN)/pyright --verifytypes edge_experts --ignoreexternal --pythonpath $(BIN)/python

# what the benchmark says: runs what is missing (hours on two cores), then writes leaderboard, figures, README and presets anew
bench: install
	$(BIN)/edge-experts bench

report: install
	$(BIN)/edge-experts report --readme README.md --presets configs/train

# the pages of docs/ and the tables of README.md that are made from the code and the results
pages: install
	$(BIN)/python -m edge_experts.baselines.pages

# a site to read in the browser: site/index.html (the tests build it, too)
docs: install
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --quiet

calibrate: install
	$(BIN)/edge-experts calibrate --episodes 200 --heldout --references results/references.json

clean:
	rm -rf $(VENV) build dist site *.egg-info $(RUNS)
