"""Build the book in both languages, side by side: `make book`, or `python book/build.py` with en or zh_CN for one.

English goes to _build/html, Chinese to _build/html/zh. A warning fails the build.
"""

import logging
import subprocess
import sys
from pathlib import Path

import yaml
from jupyter_book.sphinx import build_sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import languages  # noqa: E402
import wording  # noqa: E402

HTML = ROOT / "_build" / "html"
logging.getLogger("fontTools").setLevel(
    logging.WARNING
)  # it tells of each table of a font


def table_of_contents(language: str) -> Path:
    """_toc.yml with its titles in a language, in a file of its own where that is not English."""
    toc = ROOT / "_toc.yml"
    if language == "en":
        return toc
    say = wording.translating(languages.catalogue(language, "site"))
    content = yaml.safe_load(toc.read_text("utf-8"))
    for part in content["parts"]:
        part["caption"] = say(part["caption"])
        for chapter in part["chapters"]:
            chapter["title"] = say(chapter["title"])
    translated = ROOT / "_build" / language / "_toc.yml"
    translated.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    if not translated.exists() or translated.read_text("utf-8") != text:
        translated.write_text(text, "utf-8")
    return translated


def build(language: str, builder: str = "html", out: Path | None = None) -> int:
    """Build with Sphinx; 0 where nothing was wrong."""
    result = build_sphinx(
        ROOT,
        out or HTML / languages.FOLDERS[language],
        doctreedir=ROOT / "_build" / language / f".doctrees-{builder}",
        noconfig=True,
        path_config=ROOT / "_config.yml",
        confoverrides={
            "language": language,
            "external_toc_path": table_of_contents(language).as_posix(),
            "latex_individualpages": False,
        },
        builder=builder,
        warningiserror=True,
        keep_going=True,
        quiet=True,
    )
    return result if isinstance(result, int) else 1


def main() -> int:
    chosen = sys.argv[1:]
    if len(chosen) == 1:
        return build(chosen[0])
    command = [sys.executable, __file__]
    running = [
        subprocess.Popen([*command, language])
        for language in chosen or languages.FOLDERS
    ]
    return max(process.wait() for process in running)


if __name__ == "__main__":
    sys.exit(main())
