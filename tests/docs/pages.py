"""The written pages and their code blocks.

Rules of this file: ` ```sh ` and ` ```python ` are run by a test, ` ```hcl ` is parsed by one; `console` and `text` are for reading only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.lint.source import ROOT

DOCS: Final = ROOT / "docs"
PAGES: Final = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of each fenced block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def script(page: Path) -> str:
    """The page's commands as one script for bash, in order."""
    parts = ["set -euo pipefail"]
    for language, text in blocks(page):
        if language == "sh":
            parts.append(text)
        elif language == "python":
            parts.append(f"python - <<'END_OF_PYTHON'\n{text}END_OF_PYTHON\n")
    return "\n".join(parts)
