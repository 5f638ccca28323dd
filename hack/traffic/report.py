"""Report of the answers to live requests: what a change cost each client."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_FIGURES = ("Requests", "Lost", "Answers by", "Longest latency", "Longest gap")
_CHANGE_HEADINGS = ("Change", "Duration", *_FIGURES)
_CLIENT_HEADINGS = ("Change", "Client", *_FIGURES)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer to one request, or its failure."""

    at: float  # Unix time at which the request was due
    seconds: float  # latency since then
    status: int | None = None  # None without an answer
    text: str = ""
    error: str = ""
    is_repeated: bool = False  # sent again, because the server had closed the connection before it read the request

    @property
    def is_success(self) -> bool:
        """Return whether the server answered with a status below 400."""
        return self.status is not None and self.status < 400

    @property
    def reason(self) -> str:
        """Return the status of a failed request, or the first part of its error."""
        return str(self.status) if self.status is not None else self.error.partition(":")[0]


@dataclass(frozen=True, kw_only=True)
class ClientReport:
    """Answers that one client received during one change."""

    change: str
    duration_s: float
    client: str
    request_count: int
    lost: Mapping[str, int]  # failed requests by reason
    origins: Mapping[str, int]  # answers by the server that sent them
    repeated_count: int  # requests that were sent again on a new connection
    longest_latency_s: float
    longest_gap_s: float  # between two consecutive successful answers
    first_loss_s: float | None = None  # time from the first request to the first failed one
    last_loss_s: float | None = None

    @property
    def lost_count(self) -> int:
        """Return the number of failed requests."""
        return sum(self.lost.values())


def parse_answers(lines: Iterable[str]) -> list[Answer]:
    """Return the answers in the output of a load client, in the order of their requests."""
    return sorted((Answer(**json.loads(line)) for line in lines), key=lambda answer: answer.at)


def summarize(
    change: str, duration_s: float, client: str, answers: Sequence[Answer], origin_pattern: str
) -> ClientReport:
    """Return the report of one client.

    Args:
        change: description of the change.
        duration_s: duration of the change, in seconds.
        client: description of the client.
        answers: the answers in the order of their requests.
        origin_pattern: a regular expression; its first group is the origin of an answer.
    """
    successes = [answer for answer in answers if answer.is_success]
    failures = [answer for answer in answers if not answer.is_success]
    ends = sorted(answer.at + answer.seconds for answer in successes)
    began = answers[0].at if answers else 0.0
    return ClientReport(
        change=change,
        duration_s=round(duration_s, 1),
        client=client,
        request_count=len(answers),
        lost=Counter(answer.reason for answer in failures),
        origins=Counter(_find_origin(answer.text, origin_pattern) for answer in successes),
        repeated_count=sum(answer.is_repeated for answer in answers),
        longest_latency_s=max((answer.seconds for answer in answers), default=0.0),
        longest_gap_s=max((after - before for before, after in pairwise(ends)), default=0.0),
        first_loss_s=round(failures[0].at - began, 2) if failures else None,
        last_loss_s=round(failures[-1].at - began, 2) if failures else None,
    )


def format_markdown(reports: Sequence[ClientReport]) -> str:
    """Return the reports as two Markdown tables: with a row per change, and with a row per client."""
    by_change: dict[str, list[ClientReport]] = {}
    for each in reports:
        by_change.setdefault(each.change, []).append(each)
    totals = [(change, f"{group[0].duration_s:.1f} s", *_figures(_merge(group))) for change, group in by_change.items()]
    details = [(each.change, each.client, *_figures(each)) for each in reports]
    return "\n".join([_format_table(_CHANGE_HEADINGS, totals), _format_table(_CLIENT_HEADINGS, details)])


def format_json(reports: Sequence[ClientReport]) -> str:
    """Return the reports as a JSON document."""
    entries: list[dict[str, Any]] = [
        {
            "change": report.change,
            "seconds": report.duration_s,
            "client": report.client,
            "requests": report.request_count,
            "lost": dict(report.lost),
            "origins": dict(report.origins),
            "repeated": report.repeated_count,
            "longestLatencySeconds": round(report.longest_latency_s, 3),
            "longestGapSeconds": round(report.longest_gap_s, 3),
            "firstLossSeconds": report.first_loss_s,
            "lastLossSeconds": report.last_loss_s,
        }
        for report in reports
    ]
    return json.dumps(entries, indent=2) + "\n"


def parse_json(document: str) -> list[ClientReport]:
    """Return the reports in a JSON document of `format_json`."""
    return [
        ClientReport(
            change=entry["change"],
            duration_s=entry["seconds"],
            client=entry["client"],
            request_count=entry["requests"],
            lost=entry["lost"],
            origins=entry["origins"],
            repeated_count=entry["repeated"],
            longest_latency_s=entry["longestLatencySeconds"],
            longest_gap_s=entry["longestGapSeconds"],
            first_loss_s=entry["firstLossSeconds"],
            last_loss_s=entry["lastLossSeconds"],
        )
        for entry in json.loads(document)
    ]


def format_loss(report: ClientReport) -> str:
    """Return the failed requests of a client as one line, such as `12 of 200 lost: 500 12, between 1.2 s and 3.4 s`."""
    if not report.lost_count:
        return f"{report.client}: none of {report.request_count} lost"
    return (
        f"{report.client}: {report.lost_count} of {report.request_count} lost ({_format_counts(report.lost)}), "
        f"between {report.first_loss_s} s and {report.last_loss_s} s; longest gap {report.longest_gap_s:.2f} s"
    )


def _merge(reports: Sequence[ClientReport]) -> ClientReport:
    """Return one report of all clients of a change."""
    first_losses = [each.first_loss_s for each in reports if each.first_loss_s is not None]
    last_losses = [each.last_loss_s for each in reports if each.last_loss_s is not None]
    return ClientReport(
        change=reports[0].change,
        duration_s=reports[0].duration_s,
        client="",
        request_count=sum(each.request_count for each in reports),
        lost=_add_counts(each.lost for each in reports),
        origins=_add_counts(each.origins for each in reports),
        repeated_count=sum(each.repeated_count for each in reports),
        longest_latency_s=max(each.longest_latency_s for each in reports),
        longest_gap_s=max(each.longest_gap_s for each in reports),
        first_loss_s=min(first_losses, default=None),
        last_loss_s=max(last_losses, default=None),
    )


def _add_counts(counts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def _figures(report: ClientReport) -> tuple[str, ...]:
    return (
        str(report.request_count),
        f"{report.lost_count} ({_format_counts(report.lost)})" if report.lost_count else "0",
        _format_counts(report.origins),
        f"{report.longest_latency_s:.2f} s",
        f"{report.longest_gap_s:.2f} s",
    )


def _format_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (headings, ("---",) * len(headings), *rows))


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "-"


def _find_origin(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else "unknown"
