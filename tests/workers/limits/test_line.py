"""Who waits in a worker for a rate: one slice of a deployment, and few in all."""

from tierqueue.workers.limits.line import SHARE, Line


def test_one_slice_of_a_deployment_waits_and_the_next_one_after_it() -> None:
    line = Line(lambda: 100)
    with line.place("best") as first:
        assert first()
        assert first()
        with line.place("best") as second, line.place("other") as other:
            assert not second()
            assert other()
    with line.place("best") as third:
        assert third()


def test_who_never_waits_takes_no_place() -> None:
    line = Line(lambda: 100)
    with line.place("best"), line.place("best") as second:
        assert second()


def test_of_a_processs_calls_few_places_are_waited_in() -> None:
    line = Line(lambda: 2 * SHARE)
    with line.place("a") as a, line.place("b") as b, line.place("c") as c:
        assert (a(), b(), c()) == (True, True, False)


def test_a_process_of_one_call_waits_all_the_same() -> None:
    with Line(lambda: 1).place("best") as first:
        assert first()
