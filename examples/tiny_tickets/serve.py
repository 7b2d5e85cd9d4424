"""The model behind a port of this machine, by llama.cpp: ``-m examples.tiny_tickets.serve``.

Speaks OpenAI's chat completions, token probabilities and JSON schemas among them.
"""

import argparse
import json
import signal
from pathlib import Path
from typing import Any

from examples.tiny_tickets import CONTEXT, GGUF, NAME

IN_FLIGHT = 8
"""Requests that are worked on at once; more wait."""


def serve(weights: Path = GGUF, *, port: int = 0, name: str = NAME) -> Any:
    """Start to serve ``weights`` on loopback; 0 takes a free port. Stops when it is deleted.

    ``listening_address`` is its URL. Raises ``ImportError`` without llama.cpp, ``RuntimeError``
    where the weights are none that it can read.
    """
    from xllamacpp import CommonParams, Server

    wanted = CommonParams()
    wanted.model.path = str(weights)
    wanted.model_alias = {name}
    wanted.hostnames, wanted.port = ["127.0.0.1"], port
    # A context of its own for each: a shared one stays full of what long prompts left in it.
    wanted.n_parallel, wanted.n_ctx = IN_FLIGHT, IN_FLIGHT * CONTEXT
    wanted.kv_unified = False
    # One thread is the fastest for a model this small, and leaves the other cores alone.
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    # Greedy, unless a request says otherwise: tierqueue states no temperature.
    wanted.sampling.temp = 0.0
    # Prompts are short and share nothing; kept ones would only change the last digits.
    wanted.cache_prompt, wanted.cache_ram_mib = False, 0
    wanted.ui = False
    wanted.verbosity = 1  # errors
    return Server(wanted)


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; the first line is ``{"url": …}``."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.tiny_tickets.serve", description=__doc__
    )
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--weights", type=Path, default=GGUF, help="a GGUF file")
    parser.add_argument("--name", default=NAME, help="what the model is called")
    arguments = parser.parse_args()
    ends = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        server = serve(arguments.weights, port=arguments.port, name=arguments.name)
    except ImportError as error:
        parser.exit(2, f"error: llama.cpp cannot be imported ({error}): run `make setup`\n")
    except RuntimeError:
        parser.exit(2, f"error: {arguments.weights} is no model in GGUF that llama.cpp can read\n")
    print(json.dumps({"url": f"{server.listening_address}/v1"}), flush=True)
    signal.sigwait(ends)
    del server


if __name__ == "__main__":
    main()
