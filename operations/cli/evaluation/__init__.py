"""Commands about answers' quality: labelled sets, people's judgements, learning from both."""
