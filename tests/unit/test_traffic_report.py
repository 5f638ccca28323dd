"""Report of live requests."""

from __future__ import annotations

import json

from hack.traffic.report import (
    Answer,
    format_json,
    format_loss,
    format_markdown,
    parse_answers,
    parse_json,
    summarize,
)

ORIGIN = r"version: (v\d)"


def answer(at: float, seconds: float = 0.01, *, status: int | None = 200, text: str = "version: v1") -> Answer:
    error = "" if status else "TimeoutError: timed out"
    return Answer(at=at, seconds=seconds, status=status, text=text if status else "", error=error)


def test_answers_are_in_order_of_their_requests() -> None:
    lines = [json.dumps({"at": 2.0, "seconds": 0.1, "status": 200}), json.dumps({"at": 1.0, "seconds": 5.0})]

    assert [each.at for each in parse_answers(lines)] == [1.0, 2.0]


def test_report_counts_answers_by_origin_and_losses_by_reason() -> None:
    answers = [answer(1.0), answer(1.1, text="version: v2"), answer(1.2, status=503), answer(1.3, status=None)]

    report = summarize("a change", 5.0, "west", answers, ORIGIN)

    assert report.request_count == 4
    assert report.origins == {"v1": 1, "v2": 1}
    assert report.lost == {"503": 1, "TimeoutError": 1}
    assert (report.first_loss_s, report.last_loss_s) == (0.2, 0.3)


def test_answer_of_unknown_server_is_counted() -> None:
    assert summarize("a change", 5.0, "west", [answer(1.0, text="hello")], ORIGIN).origins == {"unknown": 1}


def test_redirect_is_no_loss_but_refusal_is() -> None:
    answers = [answer(1.0, status=302), answer(1.1, status=403)]

    assert summarize("a change", 5.0, "west", answers, ORIGIN).lost == {"403": 1}


def test_gap_is_between_successful_answers() -> None:
    answers = [answer(1.0, 0.0), answer(1.5, 0.0, status=500), answer(2.0, 3.0), answer(2.5, 0.0)]

    report = summarize("a change", 5.0, "west", answers, ORIGIN)

    assert report.longest_gap_s == 2.5
    assert report.longest_latency_s == 3.0


def test_report_without_answers_has_no_loss() -> None:
    report = summarize("a change", 5.0, "west", [], ORIGIN)

    assert (report.request_count, report.lost_count, report.longest_gap_s) == (0, 0, 0.0)


def test_report_survives_json() -> None:
    reports = [summarize("a change", 5.0, "west", [answer(1.0), answer(1.1, status=500)], ORIGIN)]

    assert parse_json(format_json(reports)) == reports


def test_markdown_has_a_row_per_change_and_per_client() -> None:
    reports = [
        summarize("a change", 5.0, "west", [answer(1.0), answer(1.1, status=500)], ORIGIN),
        summarize("a change", 5.0, "east", [answer(1.0, 0.5)], ORIGIN),
    ]

    rows = [line for line in format_markdown(reports).splitlines() if line.startswith("| a change")]

    assert rows == [
        "| a change | 5.0 s | 3 | 1 (500: 1) | v1: 2 | 0.50 s | 0.00 s |",
        "| a change | west | 2 | 1 (500: 1) | v1: 1 | 0.01 s | 0.00 s |",
        "| a change | east | 1 | 0 | v1: 1 | 0.50 s | 0.00 s |",
    ]


def test_loss_is_described_with_its_time() -> None:
    lost = summarize("a change", 5.0, "west", [answer(1.0), answer(1.5, status=500)], ORIGIN)

    assert format_loss(lost) == "west: 1 of 2 lost (500: 1), between 0.5 s and 0.5 s; longest gap 0.00 s"
