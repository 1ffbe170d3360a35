#!/usr/bin/env python3
"""Looks every package of a lock up in the advisory database: audit_lock.py [--online] LOCK

A known vulnerability fails, always. Packages that the database gave no answer about are counted, never called clean: with `--online`
they fail, without it they are said and pass, since a check must also work on a train.
"""

from __future__ import annotations

import json
import subprocess
import sys

PIP_AUDIT = [
    sys.executable,
    "-m",
    "pip_audit",
    "--require-hashes",
    "--disable-pip",
    "--progress-spinner=off",
    "--timeout=5",
    "--format=json",
]


def main(arguments: list[str]) -> int:
    """The exit status."""
    online, lock = "--online" in arguments, arguments[-1]
    result = subprocess.run([*PIP_AUDIT, "--requirement", lock], capture_output=True, text=True, check=False)
    packages = json.loads(result.stdout)["dependencies"] if result.stdout else []
    for package in packages:
        for found in package.get("vulns", ()):
            fixed = ", ".join(found["fix_versions"]) or "no version"
            print(f"{lock}: {package['name']} {package['version']}: {found['id']}, fixed in {fixed}")
    known = sum(bool(package.get("vulns")) for package in packages)
    unanswered = sum("skip_reason" in package for package in packages)
    asked = len(packages) - unanswered
    if unanswered or not packages:
        print(f"{lock}: the advisory database did not answer for {unanswered or 'any'} packages; they are NOT checked.", file=sys.stderr)
        if online:
            print(result.stderr[-2_000:], file=sys.stderr)
    print(f"{lock}: {asked} packages checked, {known} with known vulnerabilities")
    return 1 if known or (online and (unanswered or not packages)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
