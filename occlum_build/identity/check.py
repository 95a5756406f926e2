"""One question about an enclave, and its answer."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # its module takes longer to load than most enclaves take to check
    from occlum_build.identity.policy import Policy


class Verdict(StrEnum):
    """How a check ended. A warning refuses nothing: it is for a person, or for a policy."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found, and why that matters.

    `name` is stable: programs may rely on it. `details` are further lines for people.
    """

    name: str
    verdict: Verdict
    finding: str
    why: str
    details: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "finding": self.finding,
            "why": self.why,
            "details": list(self.details),
        }

    def lines(self, width: int) -> list[str]:
        """The same for people; names are padded to `width`."""
        head = f"{self.verdict.value}  {self.name:<{width}}  {self.finding} ({self.why})"
        indent = " " * (len(Verdict.PASS) + 2 + width + 2)
        return [head, *(f"{indent}{line}" for line in self.details)]


def judged(name: str, *, is_right: bool, right: str, wrong: str, why: str) -> Check:
    """A check that is right or wrong, and nothing between."""
    return Check(
        name,
        Verdict.PASS if is_right else Verdict.FAIL,
        right if is_right else wrong,
        why,
    )


def demanded(policy: "Policy | None", name: str) -> Verdict:
    """How bad something is that a policy may forbid or allow: a warning where there is none."""
    if policy is None:
        return Verdict.WARN
    return Verdict.FAIL if getattr(policy, name) == "forbidden" else Verdict.PASS
