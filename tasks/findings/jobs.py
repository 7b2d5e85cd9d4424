"""Jobs that never end by themselves, and those whose rows do not get back."""

from collections.abc import Iterator

from tierqueue.tasks.findings.finding import Facts, Finding


def incomplete(facts: Facts) -> Iterator[Finding]:
    """Jobs whose submission ended before their file did."""
    for job, submitted in facts.stopped_jobs:
        of = f" of {job.total:,}" if job.total else ""
        yield Finding(
            code="job_incomplete",
            wrong=True,
            what=f"job {job.id} ({job.source}) is incomplete: {submitted:,}{of} rows were"
            " submitted, and nobody adds the others",
            meanwhile="the rows that were submitted are worked on",
            do="the same tierqueue job submit again, which goes on where it stopped; or give it up:"
            f" tierqueue job cancel {job.id}",
            detail={"job": job.id, "submitted": submitted, "total": job.total},
        )


def sinks(facts: Facts) -> Iterator[Finding]:
    """Jobs whose rows cannot be written into their table."""
    for sink in facts.sinks:
        place = f"{sink.table_name} at {sink.place}"
        again = sink.look_at is not None
        yield Finding(
            code="sink_failing",
            wrong=True,
            what=f"rows of job {sink.job_id} cannot be written into {place}: {sink.error}"
            + ("" if again else "; it was given up"),
            meanwhile="the answers are in the ledger; it is tried again, each time later"
            if again
            else "the answers are in the ledger",
            do=f"tierqueue job results {sink.job_id} --into {sink.place} --table"
            f" {sink.table_name} --key {sink.key} says what the database says, and writes them;"
            f" does a routing stage have {sink.place.removeprefix('env:')}?",
            detail={
                "job": sink.job_id,
                "place": sink.place,
                "table": sink.table_name,
                "written": sink.written,
                "tries": sink.tries,
                "error": sink.error,
            },
        )
