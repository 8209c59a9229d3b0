"""Build the book in both languages, side by side: `make book`, or `python book/build.py --language en` for one of them.

English goes to _build/html, Chinese to _build/html/zh. A warning fails the build.
"""

import argparse
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

logging.getLogger("fontTools").setLevel(
    logging.WARNING
)  # it tells of each table of a font


def table_of_contents(language: str, folder: Path) -> Path:
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
    translated = folder / f"_toc.{language}.yml"
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    if not translated.exists() or translated.read_text("utf-8") != text:
        folder.mkdir(parents=True, exist_ok=True)
        translated.write_text(text, "utf-8")
    return translated


def build(language: str, folder: Path, builder: str = "html") -> int:
    """Build with Sphinx below `folder`; 0 where nothing was wrong."""
    result = build_sphinx(
        ROOT,
        folder / builder / languages.FOLDERS[language],
        doctreedir=folder / f".doctrees-{builder}-{language}",
        noconfig=True,
        path_config=ROOT / "_config.yml",
        confoverrides={
            "language": language,
            "external_toc_path": table_of_contents(language, folder).as_posix(),
            "latex_individualpages": False,
        },
        builder=builder,
        warningiserror=True,
        keep_going=True,
        quiet=True,
    )
    return result if isinstance(result, int) else 1


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--language", choices=languages.FOLDERS)
    options.add_argument(
        "--to", type=Path, default=ROOT / "_build", metavar="FOLDER"
    )
    chosen = options.parse_args()
    if chosen.language:
        return build(chosen.language, chosen.to.resolve())
    command = [sys.executable, __file__, "--to", chosen.to, "--language"]
    running = [
        subprocess.Popen([*command, language]) for language in languages.FOLDERS
    ]
    return max(process.wait() for process in running)


if __name__ == "__main__":
    sys.exit(main())
