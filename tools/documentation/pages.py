"""A hook of mkdocs: files outside docs/ that pages link to become part of the site.

A page in docs/ links to the repository's files as `../tools/slurm.sh`, so that the link works where the repository is
shown, too. On the site, docs/ is the root, and the linked file lies at `tools/slurm.sh`.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent
OUTSIDE = re.compile(r"\]\(\.\./([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add each file that a page links to by `../`."""
    linked = {
        target
        for page in sorted(Path(config.docs_dir).glob("*.md"))
        for target in OUTSIDE.findall(page.read_text("utf-8"))
        if (ROOT / target).is_file()
    }
    for target in sorted(linked):
        files.append(File.generated(config, target, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page in docs/ to the added files, and those of the root's pages to docs/'s."""
    del config, files
    if page.file.abs_src_path and Path(page.file.abs_src_path).parent == ROOT:
        return markdown.replace("](docs/", "](")
    return OUTSIDE.sub(r"](\1", markdown)
