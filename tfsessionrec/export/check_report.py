"""The result of a check of an export."""

import dataclasses
from typing import NamedTuple

_SHOWN = 10  # problems of a step


class CheckStep(NamedTuple):
    """One step of a check.

    Attributes:
        name: What was checked.
        detail: How much of it, or why it was not checked.
        problems: The problems found, one line each.
    """

    name: str
    detail: str
    problems: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """The steps of `check_saved_model`; as text, a table of them and their problems.

    Args:
        steps: In the order in which they ran.

    Example:

    >>> print(CheckReport((CheckStep("files", "9 as written"),)))
    files  ok  9 as written
    """

    steps: tuple[CheckStep, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    @property
    def problems(self) -> list[str]:
        """All problems, one line each."""
        return [f"{step.name}: {problem}" for step in self.steps for problem in step.problems]

    def __str__(self) -> str:
        width = max((len(step.name) for step in self.steps), default=0)
        state = 2 if self.ok else 6
        lines = []
        for step in self.steps:
            word = "FAILED" if step.problems else "ok"
            lines.append(f"{step.name:{width}}  {word:{state}}  {step.detail}".rstrip())
            lines += [f"  - {problem}" for problem in step.problems[:_SHOWN]]
            if len(step.problems) > _SHOWN:
                lines.append(f"  - and {len(step.problems) - _SHOWN} more")
        return "\n".join(lines)
