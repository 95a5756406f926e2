"""Make a C header with one table of texts for each language."""

import argparse
import json
import sys
from pathlib import Path


def main() -> int:
    """Write the header; 1 if a language lacks a text that another has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("languages", nargs="+", metavar="LANGUAGE=FILE")
    options = parser.parse_args()
    tables = {}
    for one in options.languages:
        language, _, file = one.partition("=")
        tables[language] = texts(Path(file))
    names = sorted({name for table in tables.values() for name in table})
    for language, table in tables.items():
        missing = [name for name in names if name not in table]
        if missing:
            sys.stderr.write(f"error: language `{language}` lacks the text `{missing[0]}`\n")
            return 1
    options.output.write_text(header(names, tables), encoding="utf-8")
    return 0


def texts(file: Path) -> dict[str, str]:
    """The texts of one file, by name."""
    lines = (line.partition(":") for line in file.read_text(encoding="utf-8").splitlines())
    return {name.strip(): text.strip() for name, _, text in lines if name.strip()}


def header(names: list[str], tables: dict[str, dict[str, str]]) -> str:
    """A struct of texts, and an array of them that ends with a null language."""
    lines = ["#pragma once", "", "struct translation {", "    const char *language;"]
    lines += [f"    const char *{name};" for name in names]
    lines += ["};", "", "static const struct translation translations[] = {"]
    for language in sorted(tables):
        words = [language, *(tables[language][name] for name in names)]
        lines.append(
            f"    {{{', '.join(json.dumps(word, ensure_ascii=False) for word in words)}}},"
        )
    return "\n".join([*lines, "    {0},", "};", ""])


if __name__ == "__main__":
    sys.exit(main())
