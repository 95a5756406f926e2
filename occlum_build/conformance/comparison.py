"""One program on both sides: who is asked, how often, and what the answers say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from occlum_build.conformance.enclave import Enclave, command
from occlum_build.conformance.outcome import Outcome
from occlum_build.conformance.suite import Suite
from occlum_build.conformance.verdict import Case, Criteria, Verdict, judge, settle


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a program.

    `inside` is None where the host gave no answer to compare with. In `doubt` are cases that
    failed while programs had left something behind on the host, or while the host said something
    else when it was asked again.
    """

    name: str
    host: Outcome
    inside: Outcome | None
    cases: tuple[Case, ...]
    doubt: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs the programs of a suite, of which there is a copy on the host."""

    suite: Suite
    enclave: Enclave
    env: Mapping[str, str]
    own_env: Mapping[str, str]
    """What the runner sees itself; the enclave has `env` from its configuration."""
    arguments: Sequence[str]
    seconds: float
    patience: float
    criteria: Criteria

    def ask(self, name: str) -> Answer:
        """Run a program on both sides, and a second time on the host where they differ."""
        host = self._on_host(name)
        if host.timed_out:
            return Answer(name, host, None, judge(name, host, None, self.criteria))
        inside = self.enclave.run(
            self._words(name),
            directory=self.suite.root,
            env=self.own_env,
            seconds=self.seconds * self.patience,
        )
        found = judge(name, host, inside, self.criteria)
        if all(case.verdict is not Verdict.FAILED for case in found):
            return Answer(name, host, inside, found)
        again = self._on_host(name)
        differs = settle(name, found, (host, again), inside, self.criteria) != found
        doubt = differs or self.suite.is_touched()
        return Answer(name, host, inside, found, doubt)

    def settled(self, answer: Answer) -> Answer:
        """An answer in doubt, after the host was asked in a copy as it was in the beginning.

        Nothing else may run: what a program left behind must not change what it says.
        """
        if answer.inside is None:
            return answer
        self.suite.restore()
        asked = (answer.host, self._on_host(answer.name))
        cases = settle(answer.name, answer.cases, asked, answer.inside, self.criteria)
        return replace(answer, cases=cases, doubt=False)

    def _words(self, name: str) -> list[str]:
        return [str(self.suite.root / name), *self.arguments]

    def _on_host(self, name: str) -> Outcome:
        return self.enclave.runs.run(
            command(self._words(name), has_parent=self.enclave.has_parent),
            directory=self.suite.root,
            env=self.env,
            seconds=self.seconds,
        )
