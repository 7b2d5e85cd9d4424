"""A policy with one deployment of each way to be priced."""

PRICED = """
[deployments.small]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 100000
timeout = 60
gpu_hour = "3.60"

[deployments.best]
tier = "frontier"
engine = "openai"
model = "m"
boundary = "vendor:v"
key_env = "KEY"
context_window = 100000
prices = { input = "5", cache_read = "0.5", output = "25" }
"""
