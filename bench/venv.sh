# Sourced in the project's folder: what the benchmarks compare with, in an environment of its own.
venv=.uplift/bench-venv
stamp=$(sha256sum bench/requirements.txt | cut -c1-16)
if [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ]; then
    .venv/bin/python -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r bench/requirements.txt
    echo "$stamp" > "$venv/.stamp"
fi
