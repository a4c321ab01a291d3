#!/usr/bin/env bash
# Writes the two lock files from pyproject.toml. Needs uv (a developer's tool; users need only pip).
set -eu
cd "$(dirname "$0")/.."
common=(--python-version 3.11 --generate-hashes --no-header --no-annotate --quiet)
uv pip compile pyproject.toml "${common[@]}" --output-file requirements.lock
uv pip compile pyproject.toml "${common[@]}" --constraint requirements.lock --group dev \
    --extra usb --extra scan --extra postgres --extra nats --extra ray --extra duckdb --output-file requirements-dev.lock
