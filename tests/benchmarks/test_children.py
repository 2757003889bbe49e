"""Child processes: requests and answers, and what is said of one that dies."""

import os
import sys

import pytest

from benchmarks.children import Child, messages
from jax_models.errors import RunError

ECHO = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if "die" in request:
        sys.exit("no more memory")
    print(json.dumps({"event": "error" if "error" in request else "done", **request}), flush=True)
"""


def child(code=ECHO):
    return Child((sys.executable, "-c", code), what="the work", environment=os.environ)


def test_requests_are_answered_in_turn():
    with child() as echo:
        assert [echo.ask(number=number)["number"] for number in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("request_", "reason"), [({"die": True}, "no more memory"), ({"error": "not today"}, "not today")]
)
def test_a_failure_is_one_line(request_, reason):
    with pytest.raises(RunError, match=f"^the work failed: {reason}$"), child() as echo:
        echo.ask(**request_)
    with pytest.raises(RunError, match=f"^the work failed: {reason}$"):
        list(messages((sys.executable, "-c", ECHO), request_, what="the work", environment=os.environ))


def test_a_child_ends_when_its_parent_wants_no_more():
    forever = 'import itertools\nfor _ in itertools.count(): print(\'{"event": "tick"}\', flush=True)'
    answers = messages((sys.executable, "-c", forever), {}, what="the work", environment=os.environ)
    assert next(answers)["event"] == "tick"
    answers.close()
