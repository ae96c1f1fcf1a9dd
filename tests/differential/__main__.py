"""Run any number of random queries on both sides: python -m tests.differential --queries N --seed S."""

from __future__ import annotations

import argparse
import sys

from .campaign import Campaign


def main() -> int:
    """Run the queries, print the failures and how strictly was compared; 1 where something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page-size", type=int, default=None)
    parser.add_argument("--wide", action="store_true", help="over a socket, with requests side by side")
    parser.add_argument("--stop-after", type=int, default=20, help="failures of different kinds")
    parser.add_argument("--only", type=int, default=None, help="run one query, by the number that a failure names")
    parser.add_argument("--count-only", action="store_true", help="count failures, and show none")
    options = parser.parse_args()
    campaign = Campaign(
        options.seed,
        options.page_size,
        wide=options.wide,
        progress=not options.count_only,
        count_only=options.count_only,
    )
    if options.only is not None:
        campaign.replay(options.only)
    else:
        campaign.run(options.queries, options.stop_after)
    print(campaign.report())  # noqa: T201  # a command's output
    return 1 if campaign.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
