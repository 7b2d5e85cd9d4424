"""The policies of a plant: one provider, or two, at the sandbox."""

from sandbox.wires.vendors import vendors

POLICY = """\
allow_simulated = true
default_sensitivity = "internal"

[tasks."tierqueue.complete"]
risk = "internal"

[deployments.batched]
tier = "open_weight"
{wire}
model = "{model}"
boundary = "vendor:sandbox"
base_url = "http://127.0.0.1:{port}{path}"
key_env = "SANDBOX_KEY"
context_window = 8192
simulated = true
prices = {{ input = "0.60", output = "2.40" }}
{keys}

[deployments.batched.batch]
prices = {{ input = "0.30", output = "1.20" }}
{batch}
"""

SECOND_POLICY = """
[deployments.second]
tier = "frontier"
engine = "{engine}"
model = "frontier-large"
boundary = "vendor:second"
base_url = "http://127.0.0.1:{port}{path}"
key_env = "SANDBOX_KEY"
context_window = 8192
simulated = true
prices = {{ input = "5", cache_read = "0.50", cache_write_5m = "6.25", output = "25" }}

[deployments.second.batch]
prices = {{ input = "2.50", cache_read = "0.25", cache_write_5m = "3.125", output = "12.50" }}
"""
"""Another provider, in the tier above."""


def policy_text(
    port: int,
    engine: str,
    vendor: str | None,
    *,
    batch: str,
    second: str | None,
    model: str,
    keys: str,
) -> str:
    """The policy for the sandbox at this port; the others as ``Plant`` says."""
    path, wire = "/v1" if engine == "openai" else "", f'engine = "{engine}"'
    if vendor is not None:
        path, wire = f"/as/{vendor}{vendors()[vendor].path}", f'profile = "{vendor}"'
    stated = {"path": path, "wire": wire, "batch": batch, "model": model, "keys": keys}
    text = POLICY.format(port=port, **stated)
    if second is None:
        return text
    path = "/v1" if second == "openai" else ""
    return text + SECOND_POLICY.format(port=port, engine=second, path=path)
