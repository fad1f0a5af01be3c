"""The real Tiledesk and the real Rasa on this machine, for `make demo` and `make test-live`. Not part of the package.

Everything they install goes into one folder, `.work` in the checkout or where RASA_TILEDESK_WORK points.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["CHECKOUT", "WORK"]

CHECKOUT = Path(__file__).resolve().parent.parent
WORK = Path(os.environ.get("RASA_TILEDESK_WORK") or CHECKOUT / ".work").resolve()
