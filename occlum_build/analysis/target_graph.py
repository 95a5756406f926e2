"""The graph of targets: who names whom. networkx is hidden here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import networkx as nx

from occlum_build.analysis.visibility import is_visible
from occlum_build.attribute import LabelUse, Validated
from occlum_build.diagnostic import Span, error
from occlum_build.label import Label
from occlum_build.loading.loader import Loader
from occlum_build.loading.package import Target


@dataclass(frozen=True)
class Use:
    """One edge: `target` names `use.label`, which is a source file or another target."""

    target: Target
    use: LabelUse
    is_source: bool


class TargetGraph:
    """The targets that a set of labels needs, without cycles.

    Edges go from a target to what it names. Source files are nodes too.
    """

    def __init__(self, loader: Loader) -> None:
        """An empty graph of what `loader` can load."""
        self._loader = loader
        self._graph: nx.DiGraph[Label] = nx.DiGraph()
        self.targets: dict[Label, Target] = {}
        self.broken: set[Label] = set()
        """Targets that name something wrong; why is among the loader's problems."""

    def add(self, roots: Iterable[Label]) -> None:
        """Add `roots` and all that they need; problems go to the loader."""
        waiting = list(roots)
        while waiting:
            label = waiting.pop()
            if label in self.targets:
                continue
            found = self._loader.find(label)
            if not isinstance(found, Target):
                continue
            self.targets[label] = found
            self._graph.add_node(label)
            waiting += (use.label for use in found.uses if self._connect(found, use))
        self._report_cycle()

    def uses(self, target: Target) -> Iterator[Use]:
        """What a target names, in the order of its attributes."""
        for use in target.uses:
            yield Use(target, use, use.label not in self.targets)

    def in_order(self) -> list[Target]:
        """Every target after all that it needs; equal graphs give equal orders."""
        order = nx.lexicographical_topological_sort(self._graph.reverse(copy=False), key=str)
        return [self.targets[label] for label in order if label in self.targets]

    def dependencies(self, roots: Iterable[Label], depth: int | None = None) -> list[Label]:
        """`roots` and everything below them, or that much of it in edges, sorted."""
        return self._reached(self._graph, roots, depth)

    def dependents(self, roots: Iterable[Label], depth: int | None = None) -> list[Label]:
        """`roots` and everything above them, or that much of it in edges, sorted."""
        return self._reached(self._graph.reverse(copy=False), roots, depth)

    def _reached(
        self, graph: "nx.DiGraph[Label]", roots: Iterable[Label], depth: int | None
    ) -> list[Label]:
        found = set(roots)
        layers = nx.bfs_layers(graph, [one for one in found if one in graph])
        for layer in islice(layers, None if depth is None else depth + 1):
            found.update(layer)
        return sorted(found)

    def path(self, start: Label, end: Label) -> list[Label]:
        """A shortest chain from `start` to what it needs; empty if it does not need it."""
        try:
            return list(nx.shortest_path(self._graph, start, end))
        except (nx.NetworkXNoPath, nx.NodeNotFound):
            return []

    def _connect(self, target: Target, use: LabelUse) -> bool:
        """Add an edge; False if what it leads to is missing or may not be named."""
        span = target.value_span(use.location)
        notes = target.call.notes(span)
        found = self._loader.find(use.label, span, notes)
        if found is None:
            self.broken.add(target.label)
            return False
        self._graph.add_edge(target.label, use.label)
        problem = is_visible(target, found, use.label, self._loader, span)
        if problem is not None:
            self._loader.report(problem.noting(notes))
            self.broken.add(target.label)
        validated = use.marked(Validated)
        if validated is not None:
            if isinstance(found, Target):
                message = f"`{use.label}` is no source file, so it cannot be checked while loading"
                self._loader.report(error("OB0303", message, span))
                self.broken.add(target.label)
            elif self._loader.model(use.label, validated, span) is None:
                self.broken.add(target.label)
        return True

    def _report_cycle(self) -> None:
        """Explain one cycle of each knot, and take its targets out of the analysis."""
        knots = [
            knot
            for knot in nx.strongly_connected_components(self._graph)
            if len(knot) > 1 or any(self._graph.has_edge(one, one) for one in knot)
        ]
        for knot in sorted(knots, key=min):
            chain = self._cycle_in(knot)
            pairs = list(zip(chain, [*chain[1:], chain[0]], strict=True))
            spans = [self._edge_span(one, other) for one, other in pairs]
            steps = tuple(
                f"`{one}` needs `{other}` ({span})"
                for (one, other), span in zip(pairs, spans, strict=True)
            )
            self._loader.report(
                error(
                    "OB0301",
                    f"`{chain[0]}` needs itself",
                    spans[0],
                    label="the cycle begins here",
                    notes=steps,
                )
            )
            self.broken |= knot
            self._graph.remove_edges_from(pairs)
        if knots:
            self._report_cycle()

    def _cycle_in(self, knot: set[Label]) -> list[Label]:
        """A shortest cycle through the smallest label of a knot."""
        start = min(knot)
        if self._graph.has_edge(start, start):
            return [start]
        inside = self._graph.subgraph(knot)
        ways = (nx.shortest_path(inside, one, start) for one in sorted(inside.successors(start)))
        return [start, *min(ways, key=len)[:-1]]

    def _edge_span(self, one: Label, other: Label) -> Span:
        target = self.targets[one]
        use = next(use for use in target.uses if use.label == other)
        return target.value_span(use.location, str(other))
