"""Replies that are whole and billed, and lack what their protocol promises, as real servers' do."""

from sandbox.wires.call import Json


def altered(answer: Json, fault: str | None) -> Json:
    """``answer`` as the fault has it; the log says what it did cost all the same."""
    match fault:
        case "no_usage":
            return {name: value for name, value in answer.items() if name != "usage"}
        case "zero_usage":
            usage = {name: 0 if isinstance(n, int) else n for name, n in answer["usage"].items()}
            return {**answer, "usage": usage}
        case "no_finish" if "choices" in answer:
            return {**answer, "choices": [{**answer["choices"][0], "finish_reason": None}]}
        case "no_finish":
            return {**answer, "stop_reason": None}
        case "other_model":
            return {**answer, "model": "sandbox-other-model"}
    return answer
