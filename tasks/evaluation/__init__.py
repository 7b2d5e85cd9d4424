"""Evaluation of answers: labelled sets on every tier, and people's judgements."""
