"""Error numbers of BTRON/386.

Theory. Calls answer an ``ER``: ``E_OK``, or a negative number that says why nothing was done. The models raise a
`BtronError` that carries the number; `kernel_model.btron.abi` turns it back into the word that the guest sees. Whatever
raises has changed nothing.

The numbers are those of µITRON 3.0. µITRON 4.0 numbered anew: its ``E_TMOUT`` is -50, its ``E_PAR`` -17. Do not mix.

Source: spec 2.1.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Error(IntEnum):
    """An ``ER``."""

    E_OK = 0
    E_SYS = -5
    E_NOMEM = -10
    E_NOSPT = -17
    E_RSFN = -20
    E_RSATR = -24
    E_PAR = -33
    E_ID = -35
    E_NOEXS = -52
    E_OBJ = -63
    E_MACV = -65
    E_OACV = -66
    E_CTX = -69
    E_QOVR = -73
    E_DLT = -81
    E_TMOUT = -85
    E_RLWAI = -86


E_WAITING: Final = 1
"""What ``mpl_get`` and ``mpf_get`` answer when the current task now waits. No error, and never seen by a caller of the
public calls: they dispatch, and answer the code that ends the wait."""

ERROR_NAMES: Final[Mapping[int, str]] = MappingProxyType({error & 0xFFFF_FFFF: error.name for error in Error})
"""What the results of the public calls are called, by EAX."""

RESULT_NAMES: Final[Mapping[int, str]] = MappingProxyType({**ERROR_NAMES, E_WAITING: "E_WAITING"})
"""What the results of the inner calls are called, by EAX."""


class BtronError(Exception):
    """A call was refused. Nothing was changed.

    Attributes:
        code: The error number.
    """

    def __init__(self, code: Error) -> None:
        super().__init__(code.name)
        self.code = code
