"""`occlum-build audit`: build again and compare; exit status 0 a match, 1 none, 2 wrong input."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from occlum_build.audit import bundles
from occlum_build.audit.build import Request, build, machine_downloads
from occlum_build.audit.circumstances import clock, clock_after, plain, twins, varied, varied_clock
from occlum_build.audit.outputs import compare_outputs
from occlum_build.audit.source import MARKER, Source
from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.evidence.files import read_json
from occlum_build.evidence.manifest import NAME as MANIFEST
from occlum_build.identity.text import visible
from occlum_build.option_value import positive_integer

SCHEMA: Final = 1
_MATCH: Final = "match"
_MISMATCH: Final = "mismatch"
_DEVELOPMENT: Final = "development"
_MAX_SHOWN: Final = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of the verb."""
    parser.add_argument(
        "subject",
        metavar="BUNDLE|TARGET",
        help="a bundle to compare with `--source`, or a target to build `--twice`",
    )
    parser.add_argument(
        "--source",
        metavar="DIR|COMMIT",
        help="the top of a workspace, or a commit of the git repository here",
    )
    parser.add_argument(
        "--twice",
        action="store_true",
        help="build a target in two places that differ in all that two machines could",
    )
    parser.add_argument(
        "-c",
        "--configuration",
        metavar="NAME",
        help="a configuration of WORKSPACE.occlum; of a bundle, what its provenance says",
    )
    parser.add_argument(
        "--target", metavar="LABEL", help="what to build, if not what the bundle says it is"
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a signing key; without it an audit signs with one that it throws away",
    )
    parser.add_argument(
        "-j", "--jobs", type=positive_integer, metavar="N", help="how many actions run at once"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="build below this new directory, and leave it"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Audit and print; raises `DiagnosticError`."""
    if arguments.twice:
        return _twice(arguments)
    if arguments.source is None:
        raise DiagnosticError(
            error(
                "OB0001",
                "an audit needs something to compare with",
                helps=(
                    "`audit BUNDLE --source DIR` asks whether a source makes a bundle",
                    "`audit TARGET --twice` asks whether a target comes out the same everywhere",
                ),
            )
        )
    return _against_source(arguments)


def _against_source(arguments: argparse.Namespace) -> int:
    here = Path.cwd()
    bundle = Path(arguments.subject)
    manifest = _manifest(bundle)
    source = Source.find(arguments.source, here)
    target = arguments.target or str(manifest["target"])
    configuration = arguments.configuration or _configuration(bundle)
    with _sandbox(arguments.keep) as place:
        keys = _keys(arguments.key, place, _key_name(manifest))
        request = Request((target,), configuration, keys)
        _say(f"building `{target}` of `{source.title}` in a fresh copy")
        outputs = build(
            source, here, request, plain(place / "build", arguments.jobs), machine_downloads(here)
        )
        rebuilt = _bundle_of(outputs, target)
        parts = bundles.compare_bundles(bundle, rebuilt)
        is_match = all(one.is_match for one in parts)
        causes = [] if is_match else bundles.causes(bundle, rebuilt)
        explanation = [] if is_match else list(_explanation(bundle, rebuilt))
        mrenclaves = str(manifest["mrenclave"]), str(_manifest(rebuilt)["mrenclave"])
    if arguments.json:
        _print_json(
            verdict=_MATCH if is_match else _MISMATCH,
            bundle=str(bundle),
            source=source.title,
            commit=source.commit or None,
            target=target,
            configuration=configuration,
            mrenclave={"published": mrenclaves[0], "rebuilt": mrenclaves[1]},
            parts=[asdict(one) for one in parts],
            causes=[asdict(one) for one in causes],
        )
    else:
        lines = _bundle_lines(parts, mrenclaves, source, explanation)
        sys.stdout.writelines(f"{visible(line)}\n" for line in lines)
    return int(not is_match)


def _twice(arguments: argparse.Namespace) -> int:
    here = Path.cwd()
    source = Source.find(arguments.source or str(_workspace(here)), here)
    configuration = arguments.configuration or "default"
    target = arguments.target or arguments.subject
    with _sandbox(arguments.keep) as place:
        request = Request((target,), configuration, _keys(arguments.key, place, _DEVELOPMENT))
        pair = twins(place, arguments.jobs)
        folders: list[Path] = []
        begun: list[str] = []
        ended = ""
        for title, one in zip(("first", "second"), pair, strict=True):
            _say(f"building `{target}`, the {title} time, in `{one.source}`")
            # Since the end of the first: an action of the two may otherwise see the same second.
            begun.append(clock_after(ended))
            folders.append(build(source, here, request, one, machine_downloads(here)))
            ended = clock()
        count, found = compare_outputs(*folders)
        circumstances = [*varied(*pair), *varied_clock(*begun)]
        causes = _causes_of_outputs(folders) if found else []
        explanation = [] if not found else list(_explanation_of_outputs(folders))
    if arguments.json:
        _print_json(
            verdict=_MISMATCH if found else _MATCH,
            target=target,
            source=source.title,
            configuration=configuration,
            circumstances=[asdict(one) | {"varied": one.does_differ} for one in circumstances],
            outputs=count,
            differences=[asdict(one) for one in found],
            causes=causes,
        )
        return int(bool(found))
    lines = ["circumstances, in the first and in the second build:"]
    for fact in circumstances:
        value = (
            f"{fact.first} | {fact.second}" if fact.does_differ else f"{fact.first} (not varied)"
        )
        lines.append(f"  {fact.name:<20} {value}")
    lines += ["", f"{count} outputs compared, {len(found)} differ"]
    for difference in found[:_MAX_SHOWN]:
        lines += [f"  {difference.path}", f"    {difference.first}", f"    {difference.second}"]
    lines += [f"  and {len(found) - _MAX_SHOWN} more"] if len(found) > _MAX_SHOWN else []
    lines += ["", *explanation] if explanation else []
    verdict = (
        "MISMATCH: it depends on more than its inputs" if found else "MATCH: all are the same"
    )
    sys.stdout.writelines(f"{visible(line)}\n" for line in [*lines, "", verdict])
    return int(bool(found))


def _bundle_lines(
    parts: list[bundles.Part],
    mrenclaves: tuple[str, str],
    source: Source,
    explanation: list[str],
) -> Iterator[str]:
    width = max(len(one.name) for one in parts)
    for one in parts:
        note = f"  {one.note}" if one.note else ""
        yield f"{one.outcome.value:<10}  {one.name:<{width}}{note}".rstrip()
        if one.outcome is bundles.Outcome.DIFFERENT:
            yield f"{'':<12}published {one.published}"
            yield f"{'':<12}rebuilt   {one.rebuilt}"
    if explanation:
        yield from ("", *explanation)
    yield ""
    if all(one.is_match for one in parts):
        yield f"MATCH: `{source.title}` makes this bundle, MRENCLAVE {mrenclaves[0]}"
    elif mrenclaves[0] == mrenclaves[1]:
        yield f"MISMATCH: the enclave is the same, MRENCLAVE {mrenclaves[0]}; other parts are not"
    else:
        yield f"MISMATCH: `{source.title}` makes another enclave, MRENCLAVE {mrenclaves[1]}"


def _explanation(published: Path, rebuilt: Path) -> Iterator[str]:
    """What `diff` says of two bundles."""
    from occlum_build.enclave_file.read import read_enclave
    from occlum_build.identity.comparison import compare
    from occlum_build.identity.diff import text_lines

    try:
        pair = read_enclave(str(published)), read_enclave(str(rebuilt))
        yield from text_lines(compare(*pair))
    except DiagnosticError as problem:
        yield f"the published bundle cannot be compared: {problem.diagnostics[0].message}"


def _explanation_of_outputs(folders: list[Path]) -> Iterator[str]:
    """What `diff` says of the first bundle that differs."""
    for published, rebuilt in _bundles_in(folders):
        if compare_outputs(published, rebuilt)[1]:
            yield from _explanation(published, rebuilt)
            return


def _causes_of_outputs(folders: list[Path]) -> list[str]:
    found = [one for pair in _bundles_in(folders) for one in bundles.causes(*pair)]
    return list(dict.fromkeys(map(str, found)))


def _bundles_in(folders: list[Path]) -> Iterator[tuple[Path, Path]]:
    for manifest in sorted(folders[0].rglob(MANIFEST)):
        twin = folders[1] / manifest.relative_to(folders[0])
        if twin.exists():
            yield manifest.parent, twin.parent


def _manifest(bundle: Path) -> Mapping[str, Any]:
    if not (bundle / MANIFEST).is_file():
        raise _no_bundle(bundle)
    manifest: Any = read_json(bundle / MANIFEST)
    try:
        str(manifest["target"]), str(manifest["mrenclave"]), _key_name(manifest)
    except (KeyError, TypeError):
        raise DiagnosticError(
            error(
                "OB0813",
                f"`{bundle}` is no bundle that says what it was built from",
                helps=("an audit of another enclave: build it, then use `diff`",),
            )
        ) from None
    found: Mapping[str, Any] = manifest
    return found


def _key_name(manifest: Mapping[str, Any]) -> str:
    """What the source calls its key.

    A bundle that was signed again does not say: the key before was mostly the development key.
    """
    return str(manifest["signing_key"]["name"]) if "signing_key" in manifest else _DEVELOPMENT


def _no_bundle(path: Path) -> DiagnosticError:
    """What is wrong with a name that is no bundle: it may be a target, or not there."""
    text = str(path)
    if not os.path.lexists(path):
        message = f"there is no bundle `{text}`"
        helps = ["a build leaves bundles in `out/CONFIGURATION/bin/PACKAGE/NAME.bundle`"]
    else:
        message = f"`{text}` is no bundle: it has no `{MANIFEST}`"
        helps = ["an audit of another enclave: build it, then use `diff`"]
    if ":" in text or "//" in text:
        helps = ["`audit TARGET --twice` asks whether a target comes out the same", *helps]
    return DiagnosticError(error("OB0813", message, helps=helps))


def _configuration(bundle: Path) -> str:
    """The configuration that the provenance names; the default one if there is none."""
    try:
        statement = bundles.statement_of(bundle)
        return str(
            statement["predicate"]["buildDefinition"]["externalParameters"]["configuration"]
        )
    except (KeyError, TypeError):
        return "default"


def _bundle_of(outputs: Path, target: str) -> Path:
    """Where the outputs have the bundle of a target."""
    package, _, name = target.lstrip("/").partition(":")
    name = name or package.rpartition("/")[2]
    bundle = outputs / package / f"{name}.bundle"
    if not (bundle / MANIFEST).is_file():
        raise DiagnosticError(
            error(
                "OB0813",
                f"`{target}` makes no bundle `{bundle.name}`",
                helps=("`--target` names an `occlum_bundle` or an `enclave_app`",),
            )
        )
    return bundle


def _keys(words: list[str], place: Path, name: str) -> dict[str, Path]:
    """The user's keys, and a key of no value for what they do not name."""
    from occlum_build.sgx.key import ensure_development_key

    keys: dict[str, Path] = {}
    for word in words:
        key, equals, file = word.partition("=")
        if not (key and equals and file):
            helps = ("write `--key NAME=FILE`",)
            raise DiagnosticError(error("OB0001", f"`{word}` names no key file", helps=helps))
        keys[key] = Path(file).absolute()
    for missing in {name, _DEVELOPMENT} - keys.keys():
        throwaway = place / "throwaway.pem"
        ensure_development_key(throwaway)
        keys[missing] = throwaway
    return dict(sorted(keys.items()))


def _workspace(here: Path) -> Path:
    for folder in (here, *here.parents):
        if (folder / MARKER).is_file():
            return folder
    raise DiagnosticError(
        error("OB0811", f"no `{MARKER}` here or above", helps=("`--source` names a workspace",))
    )


@contextmanager
def _sandbox(keep: Path | None) -> Iterator[Path]:
    """A new directory, gone afterwards unless the user wants to look at it."""
    if keep is not None:
        try:
            keep.mkdir(parents=True)
        except FileExistsError:
            helps = ("name a directory that is not there yet",)
            message = f"`{keep}` is there already"
            raise DiagnosticError(error("OB0814", message, helps=helps)) from None
        yield keep.resolve()
        return
    place = Path(tempfile.mkdtemp(prefix="occlum-audit-")).resolve()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _print_json(**facts: object) -> None:
    sys.stdout.write(json.dumps({"schema": SCHEMA, **facts}, indent=2) + "\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
