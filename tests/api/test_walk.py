"""A random walk through the service along the links of its OpenAPI document, while tasks really run.

``ASIC_RESERVOIR_FUZZ_REQUESTS`` says how many requests (200).
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.checks import CHECKS, load_all_checks

from api.app import create_app
from api.keys import create_key
from api.settings import ServiceSettings
from api.shelf import put_on_shelf

REQUESTS = int(os.environ.get("ASIC_RESERVOIR_FUZZ_REQUESTS", "200"))
STEPS = 30
BODIES = {
    ("POST", "/api/v1/tasks"): {"kind": "observe", "board": "bench", "params": {"n_steps": 3}},
    ("POST", "/api/v1/sessions"): {"board": "bench", "seconds": 2},
}
KEPT = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
        "response_schema_conformance")  # fmt: skip
"""What holds for every answer, whatever came before. What belongs to one request alone is tested without a walk."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_fault_no_surprise_on_the_way(tmp_path: Path, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """No 500, no status that is not documented, no answer that does not fit its schema."""
    app = create_app(ServiceSettings(f"sqlite:///{tmp_path}/facts.db", tmp_path))
    writer = app.state.service.writer
    put_on_shelf(writer, "bench", "twin://bm1366?seed=1")
    limits = {"requests_per_minute": 10**9, "tasks_waiting": 10**9}
    _, secret = writer.run(lambda c: create_key(c, "walk", ("read", "run", "operate", "admin"), limits=limits))
    headers = {"Authorization": f"Bearer {secret}"}
    statuses: Counter[int] = Counter()
    walked: Counter[str] = Counter()
    wrong: list[str] = []
    asked: Counter[tuple[str, str]] = Counter()
    load_all_checks()
    checks = [check for check in CHECKS.get_all() if check.__name__ in KEPT]
    assert len(checks) == len(KEPT)
    with serve(app) as url:
        schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json", headers=headers)
        # streams that end with the task; and the key that walks must not be revoked on the way
        schema = schema.exclude(path_regex="/events$|/stream$").exclude(method="DELETE", path_regex="/keys/")

        class Walk(schema.as_state_machine()):  # type: ignore[misc]
            def get_call_kwargs(self, case: Any) -> dict[str, Any]:
                return {"headers": headers, "timeout": 120}

            def before_call(self, case: Any) -> None:
                # names that no schema can say: every second walk begins at what is there
                place = (case.method, case.path)
                asked[place] += 1
                if place in BODIES and asked[place] % 2 and isinstance(case.body, dict):
                    case.body = BODIES[place]

            def validate_response(self, response: Any, case: Any, **_: Any) -> None:
                statuses[response.status_code] += 1
                walked[f"{case.method} {case.path}"] += 1
                if case.path == "/readyz":
                    return  # 503 is what it may have to say
                try:
                    case.validate_response(response, checks=checks)
                except Exception as error:  # told at the end: a walk that begins anew meets another service
                    wrong.append(f"{case.method} {case.path} {case.body!r:.200}: {error}")

        number = 0
        while statuses.total() < REQUESTS:
            number += 1
            # Hypothesis goes back along its own steps, and a service that lives does not
            with suppress(FlakyStrategyDefinition):
                run_state_machine_as_test(
                    seed(number)(Walk),
                    settings=settings(
                        max_examples=5,
                        stateful_step_count=STEPS,
                        deadline=None,
                        database=None,
                        phases=[Phase.generate],
                        suppress_health_check=list(HealthCheck),
                    ),
                )
    with capsys.disabled():
        print(f"\n{statuses.total()} requests on {len(walked)} operations: {dict(sorted(statuses.items()))}")
    assert wrong == []
    assert statuses[200] > 0
    assert statuses[202] > 0
    assert not any(status >= 500 and status != 503 for status in statuses)
