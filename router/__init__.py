"""The router: pure functions of an item, a policy and what is known of the deployments."""
