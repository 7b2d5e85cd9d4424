"""A simulated provider for the demo, the tests and the bench: OpenAI and Anthropic on loopback.

It speaks the two wire formats, answers by hash, bills by its own table and fails on demand; under
``/as/NAME`` it plays a vendor or server of ``vendors.toml`` and refuses what that one refuses. It
shares no code with tierqueue, so that its log is a second opinion on what was spent. It sees
prompts and schemas only, never the correct answers. Every reply carries ``x-simulated: true`` and
a model name that begins with ``sandbox/``.
"""
