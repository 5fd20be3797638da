#!/usr/bin/env bash
# Lock every third-party dependency of the workspace, with hashes and without addresses. Run after a pyproject change.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
none=$(sed -n 's/^name = "\(plexus-.*\)"/--no-emit-package \1/p' libs/*/pyproject.toml services/*/pyproject.toml cli/pyproject.toml)
# shellcheck disable=SC2086
"$uv" pip compile -q pyproject.toml --group dev --universal --generate-hashes --no-emit-index-url --no-header $none -o requirements/dev.txt "$@"
# shellcheck disable=SC2086
"$uv" pip compile -q pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header $none \
  -c requirements/dev.txt -o requirements/run.txt "$@" # what runs is what is tested
echo "uv==0.13.9" | "$uv" pip compile -q - --universal --generate-hashes --no-emit-index-url --no-header -o requirements/uv.txt
# The peer that the cross-check and the benchmark run, in an environment of its own.
printf '%s\n' "matrix-synapse[redis]==1.163.2" "psycopg2-binary==2.9.*" "setuptools<81" |
  "$uv" pip compile -q - --universal --generate-hashes --no-emit-index-url --no-header -o requirements/synapse.txt
