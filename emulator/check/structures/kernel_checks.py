"""What can be checked of a kernel's own data structures, as they lie in its memory at a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from emulator.check.findings import Finding, Kind
from emulator.hle.kernels import kernel_named, load, recognize
from emulator.hle.layers import modelled_layers
from kernel_model.text import violation_text, word_text

if TYPE_CHECKING:
    from emulator.hle.kernels import Models
    from emulator.machine.machine import Machine
    from emulator.replay.engine import Rerun
    from emulator.trace.trace import Trace
    from kernel_model.audit import Defect


class KernelChecks:
    """The checks of one kernel on one machine: its audits, and what a subclass adds to them.

    Args:
        machine: Any time. Its calls have to be recorded.
        models: The kernel's models on its memory; only read from.

    Attributes:
        models: The same.
    """

    layers_that_take: ClassVar[frozenset[str]] = frozenset()
    """Layers that take frames or pages from the lowest one: as models, they do so without a call."""

    def __init__(self, machine: Machine, models: Models) -> None:
        self.models = models
        self._machine = machine
        self._audits = models.audits(len(machine.memory))

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of findings that are searched for in the kernel's structures."""
        return frozenset((Kind.CORRUPTION, Kind.MAPPING) if self.has_mappings else (Kind.CORRUPTION,))

    @property
    def knows_owners(self) -> bool:
        """Whether all that takes frames or pages has called for them, so that the trace says who has them."""
        return not self.layers_that_take & modelled_layers(self._machine)

    @property
    def has_mappings(self) -> bool:
        """Whether the kernel has page tables that are audited."""
        return False

    @property
    def at_rest(self) -> bool:
        """Whether the kernel is in the middle of no change, so that all invariants hold."""
        return not self._machine.calls.open_calls

    @property
    def mappings_at_rest(self) -> bool:
        """Whether the kernel is in the middle of no change of its page tables, or of what they are compared with."""
        return self.at_rest

    def audit(self) -> list[Defect]:
        """Return the defects of the structures that manage memory, and of page tables, as far as these are at rest."""
        found = [defect for audit in self._audits for defect in audit.defects()] if self.at_rest else []
        if self.has_mappings and self.mappings_at_rest:
            found += self.mapping_defects()
        return found

    def mapping_defects(self) -> list[Defect]:
        """Return the defects of the page tables."""
        return []

    def finding(self, defect: Defect, **parts: Any) -> Finding:  # noqa: ANN401 - the other fields of a `Finding`
        """Return a defect as a finding."""
        if not defect.invariant.of_mapping:
            return Finding(Kind.CORRUPTION, defect.area, self.message(defect), **parts)
        word = f"{word_text(defect.location)} is 0x{defect.value:08x}"
        message = f"bad mapping: {word}: {violation_text(defect)}"
        return Finding(Kind.MAPPING, defect.area, message, **parts)

    def message(self, defect: Defect) -> str:
        """Return a defect of an allocator's structures as a finding's message."""
        text = violation_text(defect)
        if not defect.invariant.names_word:
            text = f"{word_text(defect.location)} 0x{defect.value:08x}: {text}"
        return f"{defect.area} metadata corrupted: {text}"

    def waiting(self) -> list[str]:
        """Return a line for each task that waits for something, which says what that is."""
        return []

    def at_end(self, trace: Trace, rerun: Rerun | None = None) -> list[Finding]:  # noqa: ARG002 - for subclasses
        """Compare the structures with the trace, and return what contradicts it.

        Args:
            trace: Of the whole run.
            rerun: To find faulting writes; None: findings have none.
        """
        return []


def kernel_checks(machine: Machine, profile_name: str) -> KernelChecks | None:
    """Return the checks for a machine's kernel; None if its structures are not known.

    Args:
        machine: With its layers attached, before or after its run.
        profile_name: Of the profile that is recorded. Another one than the built-in one may call things differently.
    """
    kernel = kernel_named(profile_name)
    found = None if kernel is None else recognize(machine, [kernel])
    if found is None:
        return None
    known, models = found
    checks: type[KernelChecks] = load(known.checks) if known.checks else KernelChecks
    return checks(machine, models)
