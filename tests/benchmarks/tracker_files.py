"""Reads back what the trackers have written on this machine, each in the form in which its own viewer would show it."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 2**15  # of the log format of LevelDB, which wandb's files have after a header of seven bytes
PARAMETERS = "_hparams_/session_start_info"


@dataclasses.dataclass
class Recorded:
    """One run: its curves, name -> (epoch, value) in the order written, its single values, and its settings."""

    curves: dict[str, list[tuple[int, float]]] = dataclasses.field(default_factory=dict)
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def add(self, name: str, epoch: int, value: Any) -> None:
        """Sorts a value by its name: trackio and TensorBoard keep curves and single values alike."""
        if name.startswith(("train/", "validation/", "epoch/")):
            self.curves.setdefault(name, []).append((epoch, value))
        else:
            self.summary[name] = value


def read_runs(tracker: str, *, out: Path, project: str) -> dict[str, Recorded]:
    """The runs of a project, by name."""
    readers = {"tensorboard": _read_tensorboard, "trackio": _read_trackio, "wandb": _read_wandb}
    return readers[tracker](out / "tracking", project)


def _read_tensorboard(folder: Path, project: str) -> dict[str, Recorded]:
    runs: dict[str, Recorded] = {}
    for path in sorted(folder.glob("tensorboard/**/events.out.tfevents.*")):
        cell = path.parent.relative_to(folder / "tensorboard").as_posix()
        _read_events(path, runs.setdefault(cell, Recorded()))
    return runs


def _read_events(path: Path, run: Recorded) -> None:
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    data, at = path.read_bytes(), 0
    while at < len(data):  # TFRecord: length (8 bytes), its checksum (4), the record, its checksum (4)
        length = int.from_bytes(data[at : at + 8], "little")
        event = Event.FromString(data[at + 12 : at + 12 + length])
        at += 16 + length
        if event.session_log.status == SessionLog.START:
            for name, points in run.curves.items():
                run.curves[name] = [point for point in points if point[0] < event.step]
        for value in event.summary.value:
            if value.tag == PARAMETERS:
                parameters = HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info.hparams
                run.settings = {name: getattr(one, one.WhichOneof("kind")) for name, one in parameters.items()}
            elif not value.tag.startswith("_hparams_"):
                text = [part.decode() for part in value.tensor.string_val]
                run.add(value.tag.removesuffix("/text_summary"), event.step, text[0] if text else value.simple_value)


def _read_trackio(folder: Path, project: str) -> dict[str, Recorded]:
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    runs: dict[str, Recorded] = {}
    for one in trackio.Api().runs(project):
        assert one.name not in runs
        run = runs[one.name] = Recorded(settings=one.config or {})
        for values in SQLiteStorage.get_logs(project, one.name, run_id=one.id):
            for name, value in values.items():
                run.add(name, values["step"], value)
    return runs


def _read_wandb(folder: Path, project: str) -> dict[str, Recorded]:
    import wandb

    wandb.teardown()  # waits for the process that writes, which is behind
    runs: dict[str, Recorded] = {}
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        records = list(_wandb_records(path.read_bytes()))
        begun = next(record.run for record in records if record.WhichOneof("record_type") == "run")
        assert begun.project == project
        run = runs.setdefault(begun.display_name, Recorded())
        run.settings = {update.key: json.loads(update.value_json) for update in begun.config.update}
        for record in records:
            items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            for name, value in items.items():
                run.add(name, items["_step"], value)
            for update in record.summary.update:
                run.summary[update.key or "/".join(update.nested_key)] = json.loads(update.value_json)
    return runs


def _wandb_records(data: bytes) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    at, parts = 7, b""
    while at + 7 <= len(data):  # checksum (4 bytes), length (2), kind (1: whole, 2: first, 3: middle, 4: last part)
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""
