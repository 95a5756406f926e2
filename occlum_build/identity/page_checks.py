"""What the pages of an enclave allow, whoever laid them out."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from occlum_build.diagnostic import DiagnosticError
from occlum_build.enclave_file.image import EnclaveImage
from occlum_build.identity.check import Check, Verdict, demanded
from occlum_build.sgx.page import PAGE_BYTES, describe_bytes
from occlum_build.sgx.secinfo import PageType, Permission
from occlum_build.sgx.stream import PageRun
from occlum_build.sgx.tcs import Tcs

if TYPE_CHECKING:
    from occlum_build.identity.policy import Policy

_SHOWN: Final = 8
_WRITE_EXECUTE: Final = Permission.WRITE | Permission.EXECUTE


@dataclass
class _Survey:
    """What one pass over all pages found; memory grows with the runs, not with the pages."""

    writable_executable: list[str] = field(default_factory=list)
    writable_executable_bytes: int = 0
    unmeasured: list[str] = field(default_factory=list)
    unmeasured_bytes: int = 0
    threads: int = 0
    tcs: list[tuple[int, Tcs]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    spans: list[tuple[int, int, Permission]] = field(default_factory=list)

    def see(self, run: PageRun) -> None:
        if not run.added:
            return
        where = f"{run.name}, {run.page_count} pages from {run.offset:#x}"
        if run.secinfo.page_type is PageType.TCS:
            self._see_threads(run)
            return
        self._span(run)
        if run.secinfo.permissions & _WRITE_EXECUTE == _WRITE_EXECUTE:
            self.writable_executable.append(where)
            self.writable_executable_bytes += run.size_bytes
        if not run.measured or run.chunks is not None:
            letters = run.secinfo.permissions.letters()
            self.unmeasured.append(f"{where}, {letters}{', in part' if run.measured else ''}")
            self.unmeasured_bytes += run.size_bytes

    def _span(self, run: PageRun) -> None:
        permissions = run.secinfo.permissions
        if self.spans and self.spans[-1][1:] == (run.offset, permissions):
            self.spans[-1] = (self.spans[-1][0], run.end, permissions)
        else:
            self.spans.append((run.offset, run.end, permissions))

    def _see_threads(self, run: PageRun) -> None:
        for index in range(run.page_count):
            offset = run.offset + index * PAGE_BYTES
            self.threads += 1
            if not run.measured or run.chunks is not None:
                self.wrong.append(f"{run.name} at {offset:#x} is not measured")
                continue
            try:
                self.tcs.append((offset, Tcs.parse(run.page(index))))
            except DiagnosticError as problem:
                self.wrong.append(f"{run.name} at {offset:#x}: {problem.diagnostics[0].message}")


def page_checks(image: EnclaveImage, policy: "Policy | None") -> Iterator[Check]:
    """Pages that are too powerful, that nobody vouches for, and through which one enters."""
    survey = _Survey()
    for run in image.runs():
        survey.see(run)
    yield _writable_executable(survey, policy)
    yield _unmeasured(survey, policy)
    yield _threads(survey, image, policy)


def _writable_executable(survey: _Survey, policy: "Policy | None") -> Check:
    found = survey.writable_executable
    amount = describe_bytes(survey.writable_executable_bytes)
    return Check(
        "writable-executable",
        demanded(policy, "writable_executable") if found else Verdict.PASS,
        f"{amount} of pages are writable and executable at once"
        if found
        else "no page is writable and executable at once",
        "whoever can write to such a page runs what they like in the enclave",
        _some(found),
    )


def _unmeasured(survey: _Survey, policy: "Policy | None") -> Check:
    found = survey.unmeasured
    is_forbidden = demanded(policy, "unmeasured") is Verdict.FAIL
    executable = [one for one in found if "x" in one.rpartition(", ")[2] or "x, in" in one]
    verdict = Verdict.PASS
    if found and is_forbidden:
        verdict = Verdict.FAIL
    elif executable and policy is None:
        verdict = Verdict.WARN
    return Check(
        "unmeasured",
        verdict,
        f"{describe_bytes(survey.unmeasured_bytes)} of pages are not measured"
        if found
        else "every page is measured",
        "the host chooses what is in them when the enclave starts",
        _some(found),
    )


def _threads(survey: _Survey, image: EnclaveImage, policy: "Policy | None") -> Check:
    spans = sorted(survey.spans, key=lambda one: one[:2])
    starts = [start for start, _, _ in spans]
    wrong = list(survey.wrong)
    frame_bytes = image.ssa_frame_pages * PAGE_BYTES
    for offset, tcs in survey.tcs:
        here = f"the TCS at {offset:#x}"
        if not _allows(spans, starts, tcs.entry_offset, 1, Permission.EXECUTE):
            wrong.append(f"{here} enters at {tcs.entry_offset:#x}, where no code is added")
        ssa_bytes = tcs.ssa_frames * frame_bytes
        if ssa_bytes and not _allows(spans, starts, tcs.ssa_offset, ssa_bytes, Permission.WRITE):
            wrong.append(
                f"{here} saves its state at {tcs.ssa_offset:#x}, which is not all writable"
            )
    most = policy.max_threads if policy is not None else None
    if most is not None and survey.threads > most:
        wrong.append(f"the policy allows {most} threads")
    if not survey.threads:
        wrong.append("nothing could enter this enclave")
    return Check(
        "threads",
        Verdict.FAIL if wrong else Verdict.PASS,
        f"{survey.threads} threads may be in the enclave at once",
        "a TCS says where a thread enters, and where its registers are saved",
        _some(wrong),
    )


def _allows(
    spans: list[tuple[int, int, Permission]],
    starts: list[int],
    offset: int,
    size_bytes: int,
    permission: Permission,
) -> bool:
    """Whether all of these bytes are in pages with this permission."""
    end = offset + size_bytes
    while offset < end:
        index = bisect_right(starts, offset) - 1
        if index < 0 or offset >= spans[index][1] or permission not in spans[index][2]:
            return False
        offset = spans[index][1]
    return True


def _some(found: list[str]) -> tuple[str, ...]:
    more = len(found) - _SHOWN
    return (*found[:_SHOWN], *((f"and {more} more",) if more > 0 else ()))
