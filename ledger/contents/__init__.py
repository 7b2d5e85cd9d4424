"""Contents that items carry beside their arguments: bytes, each kept once."""
