"""Jobs that never end by themselves."""

from collections.abc import Iterator

from tierqueue.tasks.findings.finding import Facts, Finding


def incomplete(facts: Facts) -> Iterator[Finding]:
    """Jobs whose submission ended before their file did."""
    for job, submitted in facts.stopped_jobs:
        of = f" of {job['total']:,}" if job["total"] else ""
        yield Finding(
            code="job_incomplete",
            wrong=True,
            what=f"job {job['id']} ({job['source']}) is incomplete: {submitted:,}{of} rows were"
            " submitted, and nobody adds the others",
            meanwhile="the rows that were submitted are worked on",
            do="the same tierqueue job submit again, which goes on where it stopped; or give it up:"
            f" tierqueue job cancel {job['id']}",
            detail={"job": job["id"], "submitted": submitted, "total": job["total"]},
        )
