"""Who may name what: `visibility`, `exports_files` and `testonly`."""

from occlum_build.diagnostic import Diagnostic, Span, error
from occlum_build.label import BadLabelError, Label
from occlum_build.loading.loader import Loader
from occlum_build.loading.package import Target
from occlum_build.provider import SuiteInfo, TestInfo

PUBLIC = "//visibility:public"
PRIVATE = "//visibility:private"


def is_visible(
    target: Target, found: Target | Label, label: Label, loader: Loader, span: Span
) -> Diagnostic | None:
    """None if `target` may name `label`; else what is wrong about it."""
    if isinstance(found, Target):
        if found.attrs.testonly and not _is_for_tests(target):
            return error(
                "OB0307",
                f"`{target.label}` is no test, but needs `{label}`, which is testonly",
                span,
                helps=("say `testonly = True`, or do without it",),
            )
        granted = found.attrs.visibility or (PRIVATE,)
        helps = (f"add `//{target.label.package}:__pkg__` to the `visibility` of `{label}`",)
    else:
        package = loader.package(label)
        granted = (package.exported if package is not None else {}).get(label.name, (PRIVATE,))
        helps = (f'say `exports_files(["{label.name}"])` in the package of `{label}`',)
    if _is_same_package(label, target.label):
        return None
    if any(_grants(one, label, target.label, loader) for one in granted):
        return None
    listed = ", ".join(f"`{one}`" for one in granted)
    return error(
        "OB0302",
        f"`{label}` is not visible to `{target.label}`",
        span,
        notes=(f"its visibility is {listed}",),
        helps=helps,
    )


def _is_for_tests(target: Target) -> bool:
    """Whether it says so, or is a test or a suite by its rule."""
    is_test = {TestInfo, SuiteInfo} & set(target.rule_class.rule.provides)
    return target.attrs.testonly or bool(is_test)


def _is_same_package(one: Label, other: Label) -> bool:
    return (one.repository, one.package) == (other.repository, other.package)


def _grants(grant: str, owner: Label, user: Label, loader: Loader) -> bool:
    if grant in {PUBLIC, PRIVATE}:
        return grant == PUBLIC
    try:
        parsed = Label.parse(grant, package=owner.package, repository=owner.repository)
    except BadLabelError:
        return False
    label = loader.workspace.canonical(parsed)
    if label.repository != user.repository:
        return False
    if label.name == "__subpackages__":
        return not label.package or f"{user.package}/".startswith(f"{label.package}/")
    return label.name == "__pkg__" and label.package == user.package
