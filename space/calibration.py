"""What belongs to the weights of our own adapters and lies beside them."""

import json
from pathlib import Path
from typing import Any

CALIBRATION = "calibration.json"


def read_calibration(folder: Path) -> dict[str, Any]:
    """The `labels` of an adapter, or its `no_answer_threshold`. Empty before it was measured, and for all other models.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    path = folder / CALIBRATION
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
