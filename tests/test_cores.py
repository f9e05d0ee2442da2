"""Containers limit time and not cores."""

import pytest

from alexnet_pipeline import cores


@pytest.mark.parametrize(("text", "expected"), [("max 100000", 8), ("250000 100000", 3), ("5000 100000", 1), ("", 8)])
def test_a_container_limits_the_workers(tmp_path, monkeypatch, text, expected) -> None:
    """By CPU time, as Kubernetes and `docker run --cpus` do."""
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(cores, "CPU_LIMIT", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(text)
    assert cores.core_count() == expected
